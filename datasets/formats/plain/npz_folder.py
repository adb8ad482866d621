"""A folder of NPZ files, each one episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..importer import ForeignData, Keys
from ..rules.arrays import SourceArray
from ..rules.episodes import from_episodes
from ..rules.guessing import check_map, plan_episode
from .folders import files_of, is_folder_of
from .npy import open_npz

ENDING = ".npz"


class NpzFolderImporter:
    """Reads a folder of NPZ files."""

    name = "npz_folder"
    takes = "a folder of .npz files, each an episode of arrays [T, ...]"
    is_fallback = True
    maps_keys = True

    def recognises(self, path: Path) -> bool:
        """Say whether the folder holds such files."""
        return is_folder_of(path, ENDING)

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a folder; see `Importer.open`. Nothing can be missing from one."""
        check_map(path, keys)
        files = files_of(path, ENDING)

        @contextmanager
        def episode(index: int) -> Iterator[Mapping[str, SourceArray]]:
            with open_npz(files[index]) as arrays:
                yield arrays

        with episode(0) as first:
            plan = plan_episode(files[0], first, keys)
        yield from_episodes(path, [file.name for file in files], episode, plan)


IMPORTER = NpzFolderImporter()

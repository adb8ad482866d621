"""HDF5 of no particular format: flat arrays, a group an episode, or a file an episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ..importer import ForeignData, Keys
from ..plain.folders import files_of, is_folder_of
from ..rules.arrays import SourceArray
from ..rules.episodes import OpenEpisode, from_episodes, natural
from ..rules.flat import open_flat
from ..rules.guessing import check_map, plan_episode
from .images import with_pictures
from .reading import ENDINGS, arrays_below, attributes, child, children, is_hdf5, open_hdf5

# One group may hold the episodes instead of the file itself.
WRAPPERS = ("data", "episodes", "demos", "trajectories")


class Hdf5Importer:
    """Reads plain arrays from HDF5."""

    name = "hdf5"
    takes = "an HDF5 file of flat arrays or of a group an episode, or a folder of a file an episode"
    is_fallback = True
    maps_keys = True

    def recognises(self, path: Path) -> bool:
        """Say whether it is an HDF5 file, or a folder of them."""
        return is_hdf5(path) or is_folder_of(path, *ENDINGS)

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a source; see `Importer.open`. Nothing can be missing from one."""
        if path.is_dir():
            yield _folder(path, keys)
            return
        with open_hdf5(path) as file:
            group, names = _episode_groups(path, file)
            if not names:
                data = open_flat(path, with_pictures(path, arrays_below(path, file)), keys)
            else:

                def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
                    below = arrays_below(path, child(path, group, names[index]))
                    return nullcontext(with_pictures(path, below))

                data = _apart(path, names, episode, keys)
            yield replace(data, kept={**attributes(path, file), **data.kept})


IMPORTER = Hdf5Importer()


def _episode_groups(path: Path, file: Any) -> tuple[Any, list[str]]:
    """Return the group whose children are episodes and their names, where they are."""
    group = file
    names = children(path, file)
    if len(names) <= 3 and any(name in WRAPPERS for name in names):
        group = child(path, file, next(name for name in names if name in WRAPPERS))
        names = children(path, group) if hasattr(group, "keys") else []
    groups = natural(name for name in names if hasattr(child(path, group, name), "keys"))
    with_numbers = [name for name in groups if any(letter.isdigit() for letter in name)]
    return (
        (group, with_numbers) if with_numbers and len(groups) == len(with_numbers) else (file, [])
    )


def _folder(path: Path, keys: Keys) -> ForeignData:
    files = files_of(path, *ENDINGS)

    @contextmanager
    def episode(index: int) -> Iterator[Mapping[str, SourceArray]]:
        with open_hdf5(files[index]) as file:
            yield with_pictures(files[index], arrays_below(files[index], file))

    return _apart(path, [file.name for file in files], episode, keys)


def _apart(path: Path, names: list[str], episode: OpenEpisode, keys: Keys) -> ForeignData:
    check_map(path, keys)
    if not names:
        raise DatasetError(f"{path} holds no episodes")
    with episode(0) as first:
        plan = plan_episode(path, first, keys)
    return from_episodes(path, names, episode, plan)

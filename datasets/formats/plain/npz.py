"""NPZ: one file of flat arrays with marks of the episodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import DatasetError
from ..importer import ForeignData, Keys
from ..rules.flat import open_flat
from .npy import open_npz


class NpzImporter:
    """Reads flat arrays of one NPZ file."""

    name = "npz"
    takes = "an .npz of flat arrays [N, ...] with episode_ends or other marks of episodes"
    is_fallback = True
    maps_keys = True

    def recognises(self, path: Path) -> bool:
        """Say whether it is called .npz."""
        return path.suffix.lower() == ".npz" and path.is_file()

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a file; see `Importer.open`. Nothing can be missing from one."""
        if not path.is_file():
            raise DatasetError(f"no file at {path}; give an .npz")
        with open_npz(path) as arrays:
            yield open_flat(path, arrays, keys)


IMPORTER = NpzImporter()

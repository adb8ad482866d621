"""Diffusion Policy's replay buffer as found: opened, checked, nothing executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore, ZipStore

from ..errors import DatasetError, nearest
from ..keys import ACTION

# Codecs that only pack bytes. Others could run code (pickle) or need packages we do not have.
SAFE_CODECS = frozenset(
    {"blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4", "shuffle", "delta", "crc32", "adler32"}
)

Array = zarr.Array[Any]


@dataclass(frozen=True)
class Source:
    """A replay buffer to import.

    Attributes:
        path: Where it lies.
        arrays: {key: array [N, ...]} to carry over.
        episode_ends: int64 [n_episodes].
        attributes: {group: attributes} of those groups that have any.
        notes: One line for each thing left behind or doubtful.
    """

    path: Path
    arrays: dict[str, Array]
    episode_ends: NDArray[np.int64]
    attributes: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def n_steps(self) -> int:
        """Steps of all episodes together."""
        return int(self.episode_ends[-1])

    def read(self, key: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop) of a key in the machine's byte order."""
        return _decode(self.path, key, self.arrays[key], start, stop)


@contextmanager
def open_source(path: Path, keys: Sequence[str] | None) -> Iterator[Source]:
    """Open the zarr 2 directory or .zip at `path`, to copy `keys` (all if None) and the action.

    Raises:
        DatasetError: It is no replay buffer, a key is unknown, or cannot be kept bit for bit.
    """
    root = _find_root(path)
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    prefix = str(root).removeprefix(str(path)).strip("/")
    try:
        ends_array = _open_array(path, root, store, prefix, "meta/episode_ends")
        ends = _decode(path, "meta/episode_ends", ends_array, 0, ends_array.shape[0]).astype(
            np.int64
        )
        if not len(ends) or np.any(np.diff(ends, prepend=0) <= 0):
            raise DatasetError(f"{path}: meta/episode_ends is empty or does not grow; repair it")
        found = sorted(child.name for child in (root / "data").iterdir() if child.is_dir())
        wanted = _choose(path, found, keys)
        arrays = {key: _open_array(path, root, store, prefix, f"data/{key}") for key in wanted}
        notes = [f"not carried over, as asked: key {key!r}" for key in found if key not in wanted]
        notes += [
            f"not carried over: meta/{child.name}"
            for child in (root / "meta").iterdir()
            if child.is_dir() and child.name != "episode_ends"
        ]
        for key, array in arrays.items():
            notes += _check_length(path, key, array, int(ends[-1]))
        yield Source(path, arrays, ends, _attributes(root), tuple(notes))
    finally:
        store.close()


def _find_root(path: Path) -> Path | zipfile.Path:
    """Return the folder that holds data/ and meta/: the top one or (often in zips) its child."""
    if not path.exists():
        raise DatasetError(f"nothing to import at {path}; give a zarr 2 directory or a .zip")
    try:
        top = path if path.is_dir() else zipfile.Path(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError(
            f"{path} is neither a directory nor a readable .zip ({error}); download it again, or "
            "give a Diffusion Policy replay buffer"
        ) from error
    roots = [
        folder
        for folder in (top, *(child for child in top.iterdir() if child.is_dir()))
        if (folder / "meta" / "episode_ends" / ".zarray").exists()
    ]
    if not roots or not (roots[0] / "data").is_dir():
        raise DatasetError(
            f"{path} is not a Diffusion Policy replay buffer (no data/ and meta/episode_ends in "
            "zarr 2 format); give the directory or .zip that holds them"
        )
    return roots[0]


def _choose(path: Path, found: Sequence[str], keys: Sequence[str] | None) -> list[str]:
    if ACTION not in found:
        raise DatasetError(f"{path} has no key 'action', only {list(found)}; rename the right one")
    wanted = sorted(found if keys is None else {*keys, ACTION})
    for key in wanted:
        if key not in found:
            raise DatasetError(f"{path} has no key {key!r}{nearest(key, found)}")
    return wanted


def _open_array(
    path: Path, root: Path | zipfile.Path, store: LocalStore | ZipStore, prefix: str, name: str
) -> Array:
    """Open one array after its description shows that reading it runs no foreign code."""
    key = name.removeprefix("data/")
    try:
        description = json.loads((root / name / ".zarray").read_text())
        kind = np.dtype(description["dtype"]).kind
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: key {key!r} is no zarr 2 array ({type(error).__name__}); repair it, or "
            "leave it out with keys=..."
        ) from error
    if kind not in "biuf":
        raise DatasetError(
            f"{path}: key {key!r} holds {description['dtype']!r}, not numbers, and loading such "
            "objects may run code; leave it out with keys=..."
        )
    codecs = [description.get("compressor"), *(description.get("filters") or ())]
    for codec in filter(None, codecs):
        if codec.get("id") not in SAFE_CODECS:
            raise DatasetError(
                f"{path}: key {key!r} is packed with {codec.get('id')!r}, which is not read here; "
                "decode it first, or leave it out with keys=..."
            )
    location = f"{prefix}/{name}".strip("/")
    return zarr.open_array(store, path=location, mode="r", zarr_format=2)


def _check_length(path: Path, key: str, array: Array, n_steps: int) -> list[str]:
    """Refuse an array that is too short; return notes on one that is too long or has holes."""
    length = array.shape[0] if array.shape else 0
    if length < n_steps:
        raise DatasetError(
            f"{path}: key {key!r} has {length} steps, the episodes end at {n_steps}; copy or "
            "download the source again"
        )
    notes: list[str] = []
    if length > n_steps:
        notes.append(
            f"not carried over: {length - n_steps} steps of {key!r} after the last episode"
        )
    absent = array.nchunks - array.nchunks_initialized
    if absent:
        notes.append(
            f"key {key!r}: {absent} of {array.nchunks} chunk files are absent and read as "
            f"{array.fill_value}; if the source is a copy, copy it again"
        )
    return notes


def _decode(path: Path, key: str, array: Array, start: int, stop: int) -> NDArray[Any]:
    try:
        rows = np.asarray(array[start:stop])
    except Exception as error:
        raise DatasetError(
            f"{path}: key {key!r} cannot be decoded in steps {start} to {stop} "
            f"({type(error).__name__}); copy or download the source again, or leave the key out"
        ) from error
    return rows.astype(rows.dtype.newbyteorder("="), copy=False)


def _attributes(root: Path | zipfile.Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("", "data", "meta"):
        file = (root / name if name else root) / ".zattrs"
        if file.exists():
            found[name or "root"] = json.loads(file.read_text())
    return {name: attributes for name, attributes in found.items() if attributes}

"""Read HDF5 files that nobody vouches for: plain arrays of the file itself, in bounded memory.

Links to other files, arrays kept in or assembled from other files, and objects are refused, and so
is an array that declares more than the file can hold. h5py comes with the extra `data`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..rules.arrays import SourceArray
from .limits import little_memory

ENDINGS = (".hdf5", ".h5", ".hdf", ".he5")
DEPTH = 8
MOST_ARRAYS = 2_000_000
CHUNK_BYTES = 1 << 27
TEXT_CHARACTERS = 1 << 24
# What h5py raises on a damaged file.
FAULTS = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError),
    *(AttributeError, OverflowError, MemoryError, UnicodeError),
)
# Those of HDF5 itself and h5py: deflate, shuffle, fletcher32, scale-offset, lzf.
FILTERS = {1: 1100, 2: 1, 3: 1, 6: 64, 32000: 300}


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open a file to read and yield its `h5py.File`.

    Raises:
        DatasetError: It is no sound HDF5 file, or h5py is not installed.
    """
    h5py = _h5py()
    try:
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=1 << 24)
    except FAULTS as error:
        raise DatasetError(
            f"{path} is no sound HDF5 file ({_line(error)}); copy it again"
        ) from error
    with file:
        yield file


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 does; without h5py, whether its name says so."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def has(path: Path, *names: str) -> bool:
    """Say whether a file holds these names, for `Importer.recognises`; never raises."""
    if not is_hdf5(path):
        return False
    try:
        with open_hdf5(path) as file:
            return all(child(path, file, name) is not None for name in names)
    except (DatasetError, *FAULTS):
        return False


def children(path: Path, group: Any) -> list[str]:
    """Return the names in a group.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return [str(name) for name in group]
    except FAULTS as error:
        raise _damaged(path, group, error) from error


def child(path: Path, group: Any, name: str) -> Any:
    """Return a group or dataset below a group; None where there is none.

    Raises:
        DatasetError: It is a link to another place, or cannot be read.
    """
    for part in name.split("/"):
        group = _step(path, group, part)
        if group is None:
            return None
    return group


def _step(path: Path, group: Any, name: str) -> Any:
    h5py = _h5py()
    if not isinstance(group, h5py.Group):
        return None
    try:
        link = group.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(
                f"{path}: {name!r} is a link to {_target(link)}; copy into the file what it names"
            )
        found = group[name]
    except FAULTS as error:
        raise _damaged(path, group, error, name) from error
    return found if isinstance(found, h5py.Group | h5py.Dataset) else None


def arrays_below(path: Path, group: Any) -> dict[str, SourceArray]:
    """Return every array below a group by its name there, `obs/object`.

    Raises:
        DatasetError: One cannot be read safely; see `checked`.
    """
    found: dict[str, SourceArray] = {}
    _collect(path, group, "", found, DEPTH)
    return found


def _collect(
    path: Path, group: Any, prefix: str, found: dict[str, SourceArray], depth: int
) -> None:
    h5py = _h5py()
    if not depth or len(found) > MOST_ARRAYS:
        raise DatasetError(f"{path}: groups are nested too deeply or hold too many arrays")
    for name in children(path, group):
        item = child(path, group, name)
        if isinstance(item, h5py.Group):
            _collect(path, item, f"{prefix}{name}/", found, depth - 1)
        elif item is not None:
            found[f"{prefix}{name}"] = checked(path, item, f"{prefix}{name}")


def checked(path: Path, dataset: Any, name: str) -> SourceArray:
    """Return a dataset as an array after its description shows that reading it is harmless.

    Raises:
        DatasetError: It is kept in another file, packed in a way not read here, or declares more
            than the file holds.
    """
    try:
        shape = tuple(int(size) for size in dataset.shape or ())
        dtype = dataset.dtype
        if dataset.shape is None:
            dtype = np.dtype("V1")
        if not dtype.hasobject:
            _check_storage(path, dataset, f"{path}: {dataset.name!r}")
    except FAULTS as error:
        raise _damaged(path, dataset, error) from error

    def rows(start: int, stop: int) -> NDArray[Any]:
        bound = little_memory() if dtype.hasobject else nullcontext()
        try:
            with bound:
                values = np.asarray(dataset[start:stop] if shape else dataset[()])
        except FAULTS as error:
            raise _damaged(path, dataset, error) from error
        return values.astype(dtype.newbyteorder("="), copy=False)

    return SourceArray(name, shape, dtype.newbyteorder("="), rows)


def _check_storage(path: Path, dataset: Any, where: str) -> None:
    if dataset.is_virtual or dataset.external:
        raise DatasetError(f"{where} is kept in other files; copy it into this one")
    size = dataset.dtype.itemsize * math.prod(dataset.shape or ())
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        swells = 1
    else:
        swells = _swelling(dataset, where)
        chunk = dataset.dtype.itemsize * math.prod(dataset.chunks)
        if chunk > CHUNK_BYTES:
            raise DatasetError(
                f"{where} declares chunks of {chunk >> 20} MiB, where at most "
                f"{CHUNK_BYTES >> 20} are read at once; rewrite it in smaller ones"
            )
    if stored > path.stat().st_size or size > stored * swells:
        raise DatasetError(
            f"{where} declares {size} bytes, more than the {stored} stored ones can hold; copy the "
            "file again"
        )


def _swelling(dataset: Any, where: str) -> int:
    """Return how many times its size a chunk may grow when it is unpacked."""
    plist = dataset.id.get_create_plist()
    swells = 1
    for position in range(plist.get_nfilters()):
        number = plist.get_filter(position)[0]
        if number not in FILTERS:
            raise DatasetError(
                f"{where} is packed with filter {number}, which is not read here; write it with "
                "gzip, lzf or nothing"
            )
        swells *= FILTERS[number]
    return swells


def attributes(path: Path, item: Any) -> dict[str, Any]:
    """Return the attributes of a group that JSON can keep; the others are left out."""
    found: dict[str, Any] = {}
    try:
        with little_memory():
            for name in item.attrs:
                value = _plain(item.attrs[name])
                if value is not None:
                    found[str(name)] = value
    except FAULTS as error:
        raise _damaged(path, item, error) from error
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value if len(value) <= TEXT_CHARACTERS else None
    if isinstance(value, np.ndarray) and value.size > 1000:
        return None
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return value


def json_object(text: Any) -> Mapping[str, Any]:
    """Return the object that a JSON text holds; {} where it holds none."""
    try:
        loaded = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise DatasetError("HDF5 files need h5py; pip install 'kinoise[data]'") from error
    return h5py


def _target(link: Any) -> str:
    return f"{getattr(link, 'filename', 'this file')}:{getattr(link, 'path', '?')}"


def _damaged(path: Path, item: Any, error: Exception, name: str = "") -> DatasetError:
    if isinstance(error, DatasetError):
        return error
    try:
        place = f"{item.name}/{name}".rstrip("/")
    except FAULTS:
        place = name
    return DatasetError(
        f"{path}: {place or '/'} cannot be read ({_line(error)}); copy the file again"
    )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]

"""Read arrays of zarr format 2 that nobody vouches for: plain numbers, in bounded memory.

Specification: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Everything that a
description declares is checked before anything is allocated, because a few bytes can declare
terabytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from .files import SourceFiles
from .unpacking import COMPRESSORS, FILTERS, UnpackingError, unpack

DESCRIPTION_BYTES = 1 << 20
# What one row of chunks may take once unpacked: each key keeps one in memory.
CHUNK_BYTES = 1 << 27
MAX_DIMENSIONS = 8
# One number of a chunk file's name.
INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(eq=False)
class Zarr2Array:
    """One array of a source, read chunk by chunk; open it with `open_array`.

    Attributes:
        path: The source, for messages.
        name: Its place in the source, `data/action`.
        files: The files of the source.
        folder: The array's folder among them.
        shape: [N, ...].
        chunks: Shape of a chunk.
        dtype: As stored.
        order: "C" or "F", how a chunk's numbers are laid out.
        separator: Between the numbers of a chunk file's name.
        compressor: Its configuration; None for none.
        filters: Their configurations, in the order they were applied in.
        fill_value: What stands for a chunk that has no file; None when nothing does.
        allow_missing: Whether such a chunk is read as that.
    """

    path: Path
    name: str
    files: SourceFiles
    folder: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    separator: str
    compressor: Mapping[str, Any] | None
    filters: tuple[Mapping[str, Any], ...]
    fill_value: Any
    allow_missing: bool
    _held: tuple[int, NDArray[Any]] | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The array's name without `data/`."""
        return self.name.removeprefix("data/")

    @property
    def held_bytes(self) -> int:
        """What reading keeps in memory: one row of chunks."""
        chunk = math.prod(self.chunks) * self.dtype.itemsize
        return max(chunk, self.chunks[0] * self.row_bytes)

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop) in the machine's byte order.

        Raises:
            DatasetError: A chunk file is absent or damaged.
        """
        rows = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype.newbyteorder("="))
        length = self.chunks[0]
        for index in range(start // length, -(-stop // length)):
            begin = max(start, index * length)
            end = min(stop, (index + 1) * length)
            slab = self._slab(index)
            rows[begin - start : end - start] = slab[begin - index * length : end - index * length]
        return rows

    def require_chunks(self, n_rows: int) -> list[str]:
        """Look for the chunk files of the first rows; return a note when some are absent.

        Raises:
            DatasetError: One is absent, and that is not allowed.
        """
        wanted = _chunk_counts((n_rows, *self.shape[1:]), self.chunks)
        present = self._chunk_names()
        if not self.allow_missing:
            # Any number of chunks may be declared; this ends at the first without a file.
            for index in _indices(wanted):
                if (name := self._chunk_name(index)) not in present:
                    raise self._missing(name)
            return []

        total = math.prod(wanted)
        absent = total - sum(self._lies_within(name, wanted) for name in present)
        if not absent:
            return []
        return [
            f"key {self.key!r}: {absent} of {total} chunk files are absent and read as "
            f"{self.fill_value}, as allowed"
        ]

    def _lies_within(self, name: str, counts: Sequence[int]) -> bool:
        """Say whether a file's name is that of a chunk below these numbers."""
        parts = name.split(self.separator)
        if len(parts) != len(counts) or not all(INDEX.fullmatch(part) for part in parts):
            return False
        return all(int(part) < count for part, count in zip(parts, counts, strict=True))

    def _chunk_name(self, index: Sequence[int]) -> str:
        return self.separator.join(map(str, index))

    def _chunk_names(self) -> set[str]:
        if self.separator == ".":
            return set(self.files.names(self.folder))
        names = [""]
        for _ in self.shape:
            names = [
                f"{name}/{child}".strip("/")
                for name in names
                for child in self.files.names(f"{self.folder}/{name}".rstrip("/"))
            ]
        return set(names)

    def _slab(self, index: int) -> NDArray[Any]:
        """Return the rows of chunk row `index`; those last asked for are kept."""
        if self._held is not None and self._held[0] == index:
            return self._held[1]
        self._held = None

        slab = np.empty((self.chunks[0], *self.shape[1:]), dtype=self.dtype)
        for trailing in _indices(_chunk_counts(self.shape[1:], self.chunks[1:])):
            pieces = zip(trailing, self.chunks[1:], strict=True)
            place = (slice(None), *(slice(i * size, (i + 1) * size) for i, size in pieces))
            part = slab[place]
            part[...] = self._chunk((index, *trailing))[tuple(map(slice, part.shape))]

        self._held = index, slab
        return slab

    def _chunk(self, index: tuple[int, ...]) -> NDArray[Any]:
        name = self._chunk_name(index)
        n_items = math.prod(self.chunks)
        # Numbers that cannot be packed take a little more room than they are.
        plain = n_items * self.dtype.itemsize
        limit = plain + plain // 4 + (1 << 16)
        content = self.files.read(f"{self.folder}/{name}", limit)
        if content is None:
            if not self.allow_missing:
                raise self._missing(name)
            return np.full(self.chunks, self.fill_value, dtype=self.dtype)
        try:
            numbers = unpack(content, n_items, self.dtype, self.compressor, self.filters)
        except (UnpackingError, MemoryError) as error:
            raise DatasetError(
                f"{self.path}: key {self.key!r} cannot be decoded: chunk file "
                f"{self.folder}/{name} ({error}); copy or download the source again, or leave "
                "the key out with keys=..."
            ) from error
        return numbers.reshape(self.chunks, order="F" if self.order == "F" else "C")

    def _missing(self, name: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: key {self.key!r}: chunk file {self.folder}/{name} is missing; copy or "
            "download the source again, or take missing chunks for the fill value with "
            "allow_missing=true"
        )


def open_array(
    path: Path, files: SourceFiles, root: str, name: str, *, allow_missing: bool = False
) -> Zarr2Array:
    """Open one array after its description shows that reading it is harmless.

    Args:
        path: The source, for messages.
        files: Its files.
        root: The folder among them that holds the data set.
        name: The array below it, such as `data/action`.
        allow_missing: Take a chunk without a file for the array's fill value.

    Raises:
        DatasetError: It holds objects, is packed in a way not read here, or declares a chunk too
            large to be held.
    """
    folder = f"{root}/{name}".strip("/")
    key = name.removeprefix("data/")
    description = read_json(path, files, f"{folder}/.zarray")
    try:
        array = _described(path, files, folder, name, description, allow_missing)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: key {key!r} is no zarr 2 array ({type(error).__name__}: {error}); repair "
            "it, or leave it out with keys=..."
        ) from error
    _check(array, str(description["dtype"]))
    return array


def read_json(path: Path, files: SourceFiles, name: str) -> dict[str, Any]:
    """Return the object in a small JSON file; {} where there is no such file.

    Raises:
        DatasetError: It is no object, or cannot be read.
    """
    content = files.read(name, DESCRIPTION_BYTES)
    if content is None:
        return {}
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: {name} is no JSON ({error}); repair it") from error
    if not isinstance(loaded, dict):
        raise DatasetError(f"{path}: {name} holds no object; repair it")
    return loaded


def _described(
    path: Path,
    files: SourceFiles,
    folder: str,
    name: str,
    description: Mapping[str, Any],
    allow_missing: bool,
) -> Zarr2Array:
    shape = tuple(_size(number) for number in description["shape"])
    chunks = tuple(_size(number) for number in description["chunks"])
    if len(chunks) != len(shape) or not 1 <= len(shape) <= MAX_DIMENSIONS or not all(chunks):
        raise ValueError(f"shape {shape} in chunks of {chunks}")
    if not isinstance(description["dtype"], str):
        raise ValueError(f"dtype {description['dtype']!r}")
    dtype = np.dtype(description["dtype"])
    fill_value = description.get("fill_value") or 0
    return Zarr2Array(
        path=path,
        name=name,
        files=files,
        folder=folder,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        order=str(description.get("order", "C")),
        separator="/" if description.get("dimension_separator") == "/" else ".",
        compressor=description.get("compressor"),
        filters=tuple(description.get("filters") or ()),
        fill_value=np.full((), fill_value, dtype=dtype).item() if dtype.kind in "biuf" else None,
        allow_missing=allow_missing,
    )


def _chunk_counts(shape: Sequence[int], chunks: Sequence[int]) -> list[int]:
    """Return how many chunks cover each dimension."""
    return [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]


def _indices(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every index below `counts`, the last running fastest.

    `itertools.product` would hold every number of every dimension first.
    """
    for ordinal in range(math.prod(counts)):
        index: list[int] = []
        rest = ordinal
        for count in reversed(counts):
            rest, number = divmod(rest, count)
            index.append(number)
        yield tuple(reversed(index))


def _size(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{number!r} is no size")
    return number


def _check(array: Zarr2Array, stated_dtype: str) -> None:
    where = f"{array.path}: key {array.key!r}"
    leave = "leave it out with keys=..."
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DatasetError(
            f"{where} holds {stated_dtype!r}, not numbers of up to 8 bytes, and loading objects "
            f"may run code; {leave}"
        )
    packed = [(array.compressor, tuple(COMPRESSORS))] if array.compressor is not None else []
    packed += [(settings, FILTERS) for settings in array.filters]
    for settings, known in packed:
        name = settings.get("id") if isinstance(settings, Mapping) else None
        if name not in known:
            raise DatasetError(
                f"{where} is packed with {name or settings!r}, which is not read here; decode it "
                f"first, or {leave}"
            )
    if not all(array.shape[1:]):
        raise DatasetError(f"{where} holds no number in a step, shape {array.shape}; {leave}")
    if array.held_bytes > CHUNK_BYTES:
        raise DatasetError(
            f"{where} declares chunks of {array.held_bytes >> 20} MiB, where at most "
            f"{CHUNK_BYTES >> 20} MiB are read at once; rewrite it in smaller ones, or {leave}"
        )

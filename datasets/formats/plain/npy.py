"""Read the arrays of an NPZ file as streams: bounded memory, nothing unpickled.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, in a .zip.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..files import ENCRYPTED, ZIP_METHODS
from ..rules.arrays import WHOLE_BYTES, SourceArray

SUFFIX = ".npy"
SKIPPED_AT_ONCE = 1 << 24
HEADER_CHARACTERS = 10_000
LARGEST_SIZE = 1 << 62


@contextmanager
def open_npz(path: Path) -> Iterator[dict[str, SourceArray]]:
    """Open an NPZ file and yield its arrays by name.

    Raises:
        DatasetError: It is no sound .zip, or a member is no array.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise DatasetError(f"{path} is no sound NPZ file ({error}); copy it again") from error
    with archive:
        streams = [
            _Stream(path, archive, entry)
            for entry in archive.infolist()
            if entry.filename.endswith(SUFFIX)
        ]
        try:
            yield {stream.array.name: stream.array for stream in streams}
        finally:
            for stream in streams:
                stream.close()


class _Stream:
    """One member, read forwards; an earlier row starts it anew."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self._where = f"{path}: {entry.filename}"
        self._archive = archive
        self._entry = entry
        self._file: IO[bytes] | None = None
        self._row = 0
        if entry.compress_type not in ZIP_METHODS or entry.flag_bits & ENCRYPTED:
            raise DatasetError(f"{self._where} is encrypted or packed strangely; save it anew")

        shape, self._fortran, dtype = self._open()
        self._shape = shape
        self._dtype = dtype
        self.close()
        name = entry.filename.removesuffix(SUFFIX)
        self.array = SourceArray(name, shape, dtype.newbyteorder("="), self.rows)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop); a single value counts as one row."""
        if self._dtype.hasobject:
            raise DatasetError(
                f"{self._where} holds Python objects, and loading them may run code; write it as "
                "numbers"
            )
        if self._fortran and len(self._shape) > 1:
            return self._transposed()[start:stop]
        if self._file is None or start < self._row:
            self.close()
            self._open()
        row_bytes = self._dtype.itemsize * math.prod(self._shape[1:])
        self._skip((start - self._row) * row_bytes)
        content = self._read((stop - start) * row_bytes)
        self._row = stop
        values = np.frombuffer(content, dtype=self._dtype).reshape(stop - start, *self._shape[1:])
        return values.astype(self._dtype.newbyteorder("="))

    def _transposed(self) -> NDArray[Any]:
        size = self._dtype.itemsize * math.prod(self._shape)
        if size > WHOLE_BYTES:
            raise DatasetError(
                f"{self._where} is stored column by column and too large to be turned in memory; "
                "save it with numpy.ascontiguousarray"
            )
        self.close()
        self._open()
        values = np.frombuffer(self._read(size), dtype=self._dtype).reshape(self._shape[::-1])
        return values.T.astype(self._dtype.newbyteorder("="), order="C")

    def _open(self) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        """Open the member behind its header and return what that declares."""
        try:
            self._file = self._archive.open(self._entry)
            self._row = 0
            shape, fortran, dtype = _header(self._file)
            offset = self._file.tell()
        except Exception as error:
            # A spoiled header fails in any of a dozen ways inside zipfile, ast and numpy.
            raise DatasetError(
                f"{self._where} is no array ({type(error).__name__}); copy the file again"
            ) from error

        declared = dtype.itemsize * math.prod(shape)
        if not dtype.hasobject and declared != self._entry.file_size - offset:
            raise DatasetError(
                f"{self._where} declares {declared} bytes and holds "
                f"{self._entry.file_size - offset}; copy the file again"
            )
        return shape, fortran, dtype

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._read(min(size, SKIPPED_AT_ONCE)))

    def _read(self, size: int) -> bytes:
        assert self._file is not None
        try:
            content = self._file.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise DatasetError(f"{self._where} is damaged ({error}); copy it again") from error
        if len(content) != size:
            raise DatasetError(f"{self._where} ends too early; copy the file again")
        return content


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(file, max_header_size=HEADER_CHARACTERS)
    if any(isinstance(size, bool) or not 0 <= size < LARGEST_SIZE for size in shape):
        raise ValueError("a size is out of range")
    return shape, fortran, dtype

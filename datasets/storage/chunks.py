"""How steps are cut into chunk files, and what a damaged one means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 20
MAX_CHUNK_ROWS = 1 << 12

Array = zarr.Array[Any]


class DamagedChunkError(Exception):
    """Chunk number `index` of an array cannot be read; its file is `path`."""

    def __init__(self, index: int, path: Path) -> None:
        super().__init__(index, path)
        self.index = index
        self.path = path


def chunk_rows(values: NDArray[Any]) -> int:
    """Return a power of two of rows that fill about `CHUNK_BYTES`.

    Appending rewrites at most one partly filled chunk of each key, so its cost stays constant.
    """
    row_bytes = max(1, values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64)))
    return int(np.clip(1 << max(0, (CHUNK_BYTES // row_bytes).bit_length() - 1), 1, MAX_CHUNK_ROWS))


def writes_all(array: Array) -> Array:
    """Return the array set to write every chunk.

    zarr leaves chunks of fill values out and takes an absent file for them; written always, an
    absent one can only be damage, and a -0.0 stays one.
    """
    written: Array = array.with_config({"write_empty_chunks": True})
    return written


def read_rows(array: Array, folder: Path, start: int, stop: int) -> NDArray[Any]:
    """Return rows [start, stop) of an array whose chunk files lie in `folder`.

    Chunks carry a CRC-32C, so that a changed bit is noticed.

    Raises:
        DamagedChunkError: A chunk file is absent, or does not decode.
    """
    chunks = range(start // array.chunks[0], (stop - 1) // array.chunks[0] + 1)
    for index in chunks:
        if not _chunk_path(array, folder, index).exists():
            raise DamagedChunkError(index, _chunk_path(array, folder, index))
    try:
        return np.asarray(array[start:stop])
    except Exception as error:
        for index in chunks:
            if not _decodes(array, index):
                raise DamagedChunkError(index, _chunk_path(array, folder, index)) from error
        raise


def _chunk_path(array: Array, folder: Path, index: int) -> Path:
    coordinates = (index, *(0 for _ in array.shape[1:]))
    return folder / str(array.metadata.encode_chunk_key(coordinates))


def _decodes(array: Array, index: int) -> bool:
    start = index * array.chunks[0]
    try:
        array[start : start + 1]
    except Exception:
        return False
    return True

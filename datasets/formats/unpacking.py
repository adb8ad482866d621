"""Unpack the chunks of foreign arrays: no code is run, and no more is unpacked than declared.

A few kilobytes can unpack to gigabytes, so every codec here is told beforehand how many bytes must
come out, and gives neither more nor less.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numcodecs
import numpy as np
from numcodecs import blosc, lz4, zstd
from numpy.typing import NDArray

LZMA_MEMORY = 1 << 28
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class UnpackingError(ValueError):
    """The bytes are not what their description says."""


def unpack(
    content: bytes,
    n_items: int,
    dtype: np.dtype[Any],
    compressor: Mapping[str, Any] | None,
    filters: Sequence[Mapping[str, Any]],
) -> NDArray[Any]:
    """Undo a zarr 2 array's compressor and filters on one chunk.

    Args:
        content: The chunk file.
        n_items: How many numbers the chunk holds.
        dtype: Their dtype.
        compressor: Its configuration, one of `COMPRESSORS` under "id"; None for none.
        filters: Likewise of `FILTERS`, in the order they were applied in.

    Returns:
        The numbers, [n_items].

    Raises:
        UnpackingError: The chunk does not hold what it should.
    """
    sizes = [n_items * dtype.itemsize]
    for settings in filters:
        sizes.append(_filtered_size(settings, sizes[-1]))

    if compressor is not None:
        try:
            content = COMPRESSORS[compressor["id"]](content, sizes[-1])
        except (ValueError, RuntimeError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise UnpackingError(f"{compressor['id']}: {error}") from error
    _require(len(content), sizes[-1])

    for settings, size in zip(reversed(filters), reversed(sizes[:-1]), strict=True):
        try:
            content = bytes(np.asarray(numcodecs.get_codec(dict(settings)).decode(content)))
        except (ValueError, RuntimeError, TypeError) as error:
            raise UnpackingError(f"{settings['id']}: {error}") from error
        _require(len(content), size)

    return np.frombuffer(content, dtype=dtype)


def _filtered_size(settings: Mapping[str, Any], size: int) -> int:
    """Return how many bytes a filter makes of `size` bytes."""
    if settings["id"] in ("crc32", "adler32"):
        return size + 4
    if settings["id"] == "shuffle":
        return size

    plain = np.dtype(settings["dtype"])
    stored = np.dtype(settings.get("astype") or plain)
    if plain.kind not in "iuf" or stored.kind not in "iuf":
        raise UnpackingError(f"delta of {plain} stored as {stored}")
    return int(size // plain.itemsize * stored.itemsize)


def _require(length: int, wanted: int) -> None:
    if length != wanted:
        raise UnpackingError(f"it holds {length} bytes where {wanted} are declared")


def _unpack_blosc(content: bytes, size: int) -> bytes:
    # In the header [4:8] is the plain size and [12:16] the packed one.
    _require(int.from_bytes(content[4:8], "little"), size)
    _require(int.from_bytes(content[12:16], "little"), len(content))
    return bytes(blosc.decompress(content))


def _unpack_lz4(content: bytes, size: int) -> bytes:
    _require(int.from_bytes(content[:4], "little"), size)
    return bytes(lz4.decompress(content))


def _unpack_zstd(content: bytes, size: int) -> bytes:
    stated = _zstd_size(content)
    if stated is not None:
        _require(stated, size)
        return bytes(zstd.decompress(content))
    plain = np.empty(size, dtype=np.uint8)
    zstd.decompress(content, plain)
    return plain.tobytes()


def _zstd_size(content: bytes) -> int | None:
    """Return the plain size that a frame's header states, None where it does not (RFC 8878)."""
    if not content.startswith(ZSTD_MAGIC) or len(content) < 6:
        raise UnpackingError("it is no zstd frame")
    descriptor = content[4]
    one_segment = bool(descriptor & 0x20)
    width = (1 if one_segment else 0, 2, 4, 8)[descriptor >> 6]
    if not width:
        return None
    start = 5 + (0 if one_segment else 1) + (0, 1, 2, 4)[descriptor & 0x3]
    # The two-byte form counts from 256.
    return int.from_bytes(content[start : start + width], "little") + (256 if width == 2 else 0)


def _unpack_zlib(content: bytes, size: int) -> bytes:
    # 32 + 15 bits of window: the header says whether it is zlib or gzip.
    return zlib.decompressobj(wbits=47).decompress(content, size + 1)


def _unpack_bz2(content: bytes, size: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(content, size + 1)


def _unpack_lzma(content: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=LZMA_MEMORY).decompress(content, size + 1)


COMPRESSORS: dict[str, Callable[[bytes, int], bytes]] = {
    "blosc": _unpack_blosc,
    "bz2": _unpack_bz2,
    "gzip": _unpack_zlib,
    "lz4": _unpack_lz4,
    "lzma": _unpack_lzma,
    "zlib": _unpack_zlib,
    "zstd": _unpack_zstd,
}
FILTERS = ("adler32", "crc32", "delta", "shuffle")

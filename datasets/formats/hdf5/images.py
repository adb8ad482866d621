"""Pictures kept as JPEG or PNG bytes in the rows of an array, decoded on the way."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..rules.arrays import SourceArray

MAGIC = (b"\xff\xd8\xff", b"\x89PNG")
MOST_PIXELS = 1 << 26


def with_pictures(path: object, arrays: dict[str, SourceArray]) -> dict[str, SourceArray]:
    """Return the arrays of an episode, with the packed pictures among them unpacked."""
    return {
        name: unpacked(path, array) if is_packed(array) else array for name, array in arrays.items()
    }


def is_packed(array: SourceArray) -> bool:
    """Say whether an array holds packed pictures: bytes [T, n], or [T] of bytes, of such files."""
    padded = array.dtype == np.uint8 and len(array.shape) == 2
    ragged = array.is_objects and len(array.shape) == 1
    if not (padded or ragged) or not array.shape[0]:
        return False
    first = array.rows(0, 1)[0]
    return isinstance(first, np.ndarray) and first[:4].tobytes().startswith(MAGIC)


def unpacked(path: object, array: SourceArray) -> SourceArray:
    """Return an array of packed pictures as pictures [T, height, width, 3], uint8, RGB.

    Raises:
        DatasetError: A picture does not decode, or the pictures differ in size.
    """
    first = _decode(path, array.name, array.rows(0, 1)[0])

    def rows(start: int, stop: int) -> NDArray[Any]:
        pictures = np.empty((stop - start, *first.shape), dtype=np.uint8)
        for row, content in enumerate(array.rows(start, stop)):
            picture = _decode(path, array.name, content)
            if picture.shape != first.shape:
                raise DatasetError(
                    f"{path}: picture {start + row} of {array.name!r} has shape {picture.shape}, "
                    f"the first {first.shape}; leave it out with keys=[...]"
                )
            pictures[row] = picture
        return pictures

    shape = (array.shape[0], *first.shape)
    return replace(array, shape=shape, dtype=np.dtype(np.uint8), rows=rows)


def _decode(path: object, name: str, content: Any) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content.tobytes()), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            return np.asarray(image.convert("RGB"))
    except Exception as error:
        # PIL raises a dozen classes on spoiled files.
        raise DatasetError(
            f"{path}: a picture of {name!r} cannot be decoded ({type(error).__name__}: {error}); "
            "leave it out with keys=[...]"
        ) from error

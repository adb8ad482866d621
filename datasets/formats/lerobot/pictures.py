"""Pictures that a parquet file holds as PNG or JPEG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .guard import needed, reading

FORMATS = ("PNG", "JPEG")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode(path: Path, column: str, array: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a column of encoded pictures as [n, h, w, c].

    Args:
        path: The file, for messages.
        column: Its column, for messages.
        array: The arrow array: bytes, or a struct with the field `bytes`.
        shape: [h, w, c] of each.

    Raises:
        DatasetError: One is missing, damaged, or of another size.
    """
    types = needed("pyarrow").types
    with reading(path):
        array = getattr(array, "storage", array)
        encoded = array.field("bytes") if types.is_struct(array.type) else array
        if array.null_count or encoded.null_count:
            raise DatasetError(
                f"{path}: column {column!r} names pictures that it does not hold; embed them, "
                "as LeRobot's own writer does"
            )

    pictures = np.empty((len(encoded), *shape), dtype=np.uint8)
    for row, content in enumerate(encoded):
        pictures[row] = _decoded(path, column, content.as_py(), shape)
    return pictures


def is_encoded(kind: Any) -> bool:
    """Say whether an arrow type can hold encoded pictures."""
    types = needed("pyarrow").types
    kind = getattr(kind, "storage_type", kind)
    if types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields) if kind.field(i).name == "bytes"]
        return len(fields) == 1 and is_encoded(fields[0].type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _decoded(path: Path, column: str, content: bytes, shape: tuple[int, ...]) -> Any:
    from PIL import Image

    height, width, channels = shape
    with reading(path), Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        # The header is checked before anything is unpacked: it decides how much memory that takes.
        if picture.size != (width, height) or picture.mode not in (MODES[channels], "P"):
            raise DatasetError(
                f"{path}: column {column!r} holds a picture of {picture.height}x{picture.width} "
                f"{picture.mode}, where {height}x{width} {MODES[channels]} is declared; "
                "correct meta/info.json"
            )
        return np.asarray(picture.convert(MODES[channels])).reshape(shape)

"""Keys of ours as LeRobot's features: their names, their description, their parquet columns."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....errors import DatasetError
from ....keys import ACTION, is_image
from ....storage import ReplayBuffer
from ..features import BOOKKEEPING, MARK
from ..guard import needed
from ..pictures import MODES

Kind = Literal["number", "image", "video"]

REWARD = "reward"
# Pictures shrink little beyond this level, and take ever longer.
PNG_LEVEL = 3
#: {bookkeeping feature: dtype}, which LeRobot demands of every data set.
DEMANDED = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


@dataclass(frozen=True)
class Column:
    """One key and the feature that it becomes.

    Attributes:
        key: Here.
        name: There.
        kind: How it is stored there.
        dtype: Here.
        shape: Shape of one step here.
    """

    key: str
    name: str
    kind: Kind
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape of one step there: a number on its own is a vector of one."""
        return self.shape or (1,)

    def described(self) -> dict[str, Any]:
        """Return the entry of `info.json`."""
        names = ["height", "width", "channels"] if self.kind != "number" else None
        return {
            "dtype": str(self.dtype) if self.kind == "number" else self.kind,
            "shape": list(self.stored),
            "names": names,
            MARK: {"key": self.key, "shape": list(self.shape)},
        }

    def to_arrow(self, values: NDArray[Any], first_frame: int) -> Any:
        """Return rows [n, *shape] as an arrow array; `first_frame` counts in the episode."""
        if self.kind == "image":
            return _encoded(values, first_frame)
        return _lists(np.ascontiguousarray(values), self.stored)


def columns_of(buffer: ReplayBuffer, *, as_video: bool) -> list[Column]:
    """Return what the keys of a data set become, sorted.

    Args:
        buffer: The data set.
        as_video: Pictures become video where they can (three channels), else PNG.

    Raises:
        DatasetError: A key has a shape that LeRobot cannot hold, or takes another's name.
    """
    columns: list[Column] = []
    for key in buffer.keys:
        array = buffer[key]
        shape = tuple(array.shape[1:])
        picture = is_image(array.shape) and array.dtype == np.uint8
        kind: Kind = "number"
        if picture:
            kind = "video" if as_video and shape[-1] == 3 else "image"
        if len(shape) > 5 or 0 in shape:
            raise DatasetError(
                f"key {key!r} has shape {shape} per step; LeRobot holds up to 5 axes, none empty"
            )
        columns.append(Column(key, _name(key, picture), kind, np.dtype(array.dtype), shape))

    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1 or name in DEMANDED or name in BOOKKEEPING:
            raise DatasetError(f"two keys would be LeRobot's feature {name!r}; rename one")
    return columns


def _name(key: str, picture: bool) -> str:
    if key == ACTION:
        return ACTION
    if key == REWARD and not picture:
        return "next.reward"
    return f"observation.images.{key}" if picture else f"observation.{key}"


def schema(columns: Iterable[Column]) -> Any:
    """Return the arrow schema of the parquet files."""
    arrow = needed("pyarrow")
    fields = [
        arrow.field(column.name, column.to_arrow(_empty(column), 0).type)
        for column in columns
        if column.kind != "video"
    ]
    fields += [arrow.field(name, _plain_type(dtype)) for name, dtype in DEMANDED.items()]
    return arrow.schema(fields)


def _empty(column: Column) -> NDArray[Any]:
    return np.empty((0, *column.shape), dtype=column.dtype)


def _plain_type(dtype: str) -> Any:
    return needed("pyarrow").from_numpy_dtype(np.dtype(dtype))


def _lists(values: NDArray[Any], shape: tuple[int, ...]) -> Any:
    """Return numbers as LeRobot stores them: plain, as lists of one length, or lists of lists."""
    arrow = needed("pyarrow")
    found = arrow.array(values.reshape(-1))
    if math.prod(shape) == 1 and len(shape) == 1:
        return found
    if len(shape) == 1:
        return arrow.FixedSizeListArray.from_arrays(found, shape[0])
    for size in reversed(shape):
        offsets = np.arange(0, len(found) + 1, size, dtype=np.int32)
        found = arrow.ListArray.from_arrays(offsets, found)
    return found


def _encoded(values: NDArray[np.uint8], first_frame: int) -> Any:
    arrow = needed("pyarrow")
    paths = [f"frame-{first_frame + row:06d}.png" for row in range(len(values))]
    return arrow.StructArray.from_arrays(
        [arrow.array(_png(values), arrow.binary()), arrow.array(paths, arrow.string())],
        names=["bytes", "path"],
    )


def _png(values: NDArray[np.uint8]) -> Iterator[bytes]:
    from PIL import Image

    mode = MODES[values.shape[-1]]
    for picture in values:
        content = io.BytesIO()
        pixels = picture[..., 0] if mode == "L" else picture
        Image.fromarray(np.ascontiguousarray(pixels), mode=mode).save(
            content, format="PNG", compress_level=PNG_LEVEL
        )
        yield content.getvalue()

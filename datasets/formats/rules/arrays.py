"""What plain sources hold: named arrays whose rows are read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError

# Marks, seeds and times are read whole; rows are streamed.
WHOLE_BYTES = 1 << 29
ROW_BYTES = 1 << 27


@dataclass(frozen=True)
class SourceArray:
    """One array of a source.

    Attributes:
        name: Its place in the source, `observations/qpos`.
        shape: [N, ...]; () for a single value.
        dtype: As stored.
        rows: `rows(start, stop)` returns these rows; it is asked for them in order.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: Callable[[int, int], NDArray[Any]]

    @property
    def leaf(self) -> str:
        """The last part of the name, in small letters."""
        return self.name.rpartition("/")[2].lower()

    @property
    def is_numbers(self) -> bool:
        """Whether a data set of ours can hold it: numbers or booleans of up to 8 bytes."""
        return self.dtype.kind in "biuf" and self.dtype.itemsize <= 8

    @property
    def is_objects(self) -> bool:
        """Whether reading it would mean unpickling."""
        return self.dtype.hasobject

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def whole(self) -> NDArray[Any]:
        """Return all of a short array.

        Raises:
            DatasetError: It is not short.
        """
        size = self.dtype.itemsize * math.prod(self.shape)
        if size > WHOLE_BYTES:
            raise DatasetError(
                f"{self.name!r} holds {size >> 20} MiB, too many to be the marks of episodes; "
                "name other marks with keys=..."
            )
        if not self.shape:
            return self.rows(0, 1).reshape(())
        return self.rows(0, self.shape[0])

    def text(self) -> str:
        """Return its name, shape and dtype for a message: `obs [9143, 59] float32`."""
        return f"{self.name} {list(self.shape)} {self.dtype}"


def refuse_objects(path: object, arrays: Sequence[SourceArray]) -> None:
    """Raise `DatasetError` when one of the arrays to read holds Python objects."""
    for array in arrays:
        if array.is_objects:
            raise DatasetError(
                f"{path}: {array.name!r} holds Python objects, and loading them may run code; "
                "write it as numbers, or leave it out with keys=[...]"
            )


def refuse_wide_rows(path: object, arrays: Sequence[SourceArray]) -> None:
    """Raise `DatasetError` when one row of these arrays would fill the memory."""
    row = sum(array.row_bytes for array in arrays)
    if row > ROW_BYTES:
        raise DatasetError(
            f"{path}: one step takes {row >> 20} MiB, where at most {ROW_BYTES >> 20} are read at "
            "once; choose some keys with keys=[...]"
        )
    for array in arrays:
        if not array.row_bytes:
            raise DatasetError(
                f"{path}: {array.name!r} holds no number in a step, shape {list(array.shape)}; "
                "leave it out with keys=[...]"
            )

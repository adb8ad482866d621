"""Keys that are some columns of another: a part of a state vector by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DatasetError, nearest
from .importer import Block, ForeignData

#: New key -> (copied key, first column, column after the last).
Columns = Mapping[str, tuple[str, int, int]]


def checked_columns(data: ForeignData, derived: Mapping[str, Sequence[Any]]) -> Columns:
    """Return the columns that were asked for.

    Raises:
        DatasetError: They are written wrongly, or there are none such.
    """
    columns: dict[str, tuple[str, int, int]] = {}
    for name, part in derived.items():
        try:
            key, first, stop = part
            columns[name] = (str(key), int(first), int(stop))
        except (TypeError, ValueError) as error:
            raise DatasetError(
                f"cannot derive {name!r} from {part!r}; give [key, first column, column after "
                "the last]"
            ) from error

    for name, (key, first, stop) in columns.items():
        if key not in data.shapes:
            raise DatasetError(f"cannot derive {name!r}: no key {key!r}{nearest(key, data.shapes)}")
        shape = data.shapes[key]
        if name in data.shapes or len(shape) != 1 or not 0 <= first < stop <= shape[0]:
            raise DatasetError(
                f"cannot derive {name!r} from columns [{first}, {stop}) of {key!r} with shape "
                f"{shape} per step; give a new name and columns that exist"
            )
    return columns


def parts(block: Block, columns: Columns) -> Block:
    """Return the derived keys of a block."""
    return {name: block[key][:, first:stop] for name, (key, first, stop) in columns.items()}

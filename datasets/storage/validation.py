"""What an episode must be before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import DatasetError
from ..keys import ACTION

Episode = Mapping[str, NDArray[Any]]


def check_rows(steps: Episode, first: int) -> dict[str, NDArray[Any]]:
    """Return the rows as arrays of equal length, finite, of a plain numeric dtype."""
    rows = {key: np.asarray(values) for key, values in steps.items()}
    if ACTION not in rows:
        raise DatasetError(f"an episode needs the key 'action'; it has {sorted(rows)}")
    lengths = {key: len(values) if values.ndim else 0 for key, values in rows.items()}
    if len(set(lengths.values())) != 1 or not lengths[ACTION]:
        raise DatasetError(
            f"every key of an episode needs the same number of steps, at least 1; got {lengths}"
        )
    for key, values in rows.items():
        if values.dtype.kind not in "biuf":
            raise DatasetError(
                f"key {key!r} has dtype {values.dtype}; give numbers or booleans, not objects"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0]
            place = f"step {first + where[0]}"
            if len(where) > 1:
                place += f", dimension {tuple(int(i) for i in where[1:])}"
            raise DatasetError(
                f"key {key!r} holds {values[tuple(where)]} at {place}; "
                "repair the recording or leave the episode out"
            )
        if "/" in key or key.startswith((".", "__")) or not key:
            raise DatasetError(f"key {key!r} cannot name a folder; rename it")
    return rows


def check_matches(rows: Episode, arrays: Mapping[str, zarr.Array[Any]], path: Path) -> None:
    """Hold new rows to the keys, shapes and dtypes that the first episode set.

    Raises:
        DatasetError: They differ.
    """
    if not arrays:
        return
    if set(rows) != set(arrays):
        raise DatasetError(
            f"an episode with keys {sorted(rows)} does not fit {path}, which holds "
            f"{sorted(arrays)}; give exactly these"
        )
    for key, values in rows.items():
        array = arrays[key]
        held = (array.dtype, array.shape[1:])
        given = (values.dtype, values.shape[1:])
        if held != given:
            raise DatasetError(
                f"key {key!r}: {path} holds {held[0]} {held[1]} per step, the episode "
                f"gives {given[0]} {given[1]}; convert it or write a new data set"
            )

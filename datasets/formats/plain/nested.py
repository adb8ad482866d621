"""Lists and dicts in memory as named arrays: what pickles and generators of episodes give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..rules.arrays import SourceArray

DEPTH = 5
MOST_ARRAYS = 10_000
MOST_ITEMS = 1 << 27


def memory_array(name: str, values: NDArray[Any]) -> SourceArray:
    """Return an array in memory as one of a source."""

    def rows(start: int, stop: int) -> NDArray[Any]:
        return values[start:stop] if values.ndim else values.reshape(1)

    native = values.dtype.newbyteorder("=")
    values = values.astype(native, copy=False)
    return SourceArray(name, values.shape, native, rows)


def arrays_of(where: str, content: Any) -> dict[str, SourceArray]:
    """Return the arrays of an episode, {"obs/pos": ...} for a dict in a dict.

    An episode is a dict of arrays [T, ...], or a list of steps, each a dict.

    Raises:
        DatasetError: It is neither, or its lists are ragged.
    """
    if isinstance(content, list | tuple) and content and isinstance(content[0], Mapping):
        content = _stacked(where, content)
    if not isinstance(content, Mapping):
        raise DatasetError(
            f"{where} is {type(content).__name__}, where an episode is a dict of arrays or a list "
            "of steps; save it so"
        )
    found: dict[str, SourceArray] = {}
    _collect(where, content, "", found, DEPTH)
    return found


def _stacked(where: str, steps: Any) -> dict[str, Any]:
    """Return a list of steps as lists of what they hold."""
    names = list(steps[0])
    for number, step in enumerate(steps):
        if not isinstance(step, Mapping) or set(step) != set(names):
            raise DatasetError(f"{where}: step {number} holds other things than the first")
    columns = {name: [step[name] for step in steps] for name in names}
    return {
        name: _stacked(where, values) if isinstance(values[0], Mapping) and values[0] else values
        for name, values in columns.items()
    }


def _collect(
    where: str, content: Mapping[Any, Any], prefix: str, found: dict[str, SourceArray], depth: int
) -> None:
    if not depth or len(found) > MOST_ARRAYS:
        raise DatasetError(f"{where}: dicts are nested too deeply or hold too many arrays")
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _collect(where, value, f"{name}/", found, depth - 1)
        elif (values := _as_array(where, name, value)) is not None:
            found[name] = memory_array(name, values)


def _as_array(where: str, name: str, value: Any) -> NDArray[Any] | None:
    """Return a value as an array; None for one that is none, such as text without end."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if isinstance(value, bool | int | float | str):
        return _plain_array(value)
    if not isinstance(value, list | tuple) or not value:
        return None
    if n_items(value, {}) > MOST_ITEMS:
        raise DatasetError(f"{where}: {name!r} unfolds to more than {MOST_ITEMS} numbers")
    try:
        return _plain_array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise DatasetError(
            f"{where}: {name!r} is ragged or holds no numbers; write it as an array"
        ) from error


def _plain_array(value: Any) -> NDArray[Any] | None:
    values = np.asarray(value)
    return None if values.dtype.hasobject else values


def n_items(value: Any, known: dict[int, int], depth: int = 8) -> int:
    """Return how many numbers nested lists unfold to, without unfolding any.

    A list that stands in many places is counted once and multiplied: a few bytes can name billions.
    """
    if isinstance(value, np.ndarray):
        return int(value.size)
    if not isinstance(value, list | tuple):
        return 1
    if not depth:
        return MOST_ITEMS + 1
    if id(value) not in known:
        known[id(value)] = MOST_ITEMS + 1  # a list that holds itself never ends
        known[id(value)] = min(
            MOST_ITEMS + 1, sum(n_items(each, known, depth - 1) for each in value)
        )
    return known[id(value)]

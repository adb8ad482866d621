"""Flat arrays [N, ...] whose episodes lie end to end, with marks that tell where each ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ...keys import ACTION
from ..importer import Block, ForeignData, Found, Keys
from .arrays import SourceArray, refuse_objects, refuse_wide_rows
from .episodes import gathered
from .marks import Marks, find_marks
from .names import SEED_NAMES, TIME_NAMES
from .roles import (
    Arrays,
    Choice,
    differing,
    find_action,
    is_left_out,
    name_keys,
    of_length,
    read_choice,
    unclear,
)
from .singles import read_single
from .timing import rate_of_times


@dataclass
class _Sorted:
    """What becomes of the arrays of a source."""

    named: dict[str, SourceArray]
    roles: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stated: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    seeds: NDArray[np.int64] | None = None


def open_flat(path: Path, arrays: Arrays, keys: Keys) -> ForeignData:
    """Return flat arrays as episodes.

    Args:
        path: The source, for messages.
        arrays: By name.
        keys: See `importer.Keys`; names of `names.ROLES` tell roles.

    Raises:
        UnclearError: Which array is which cannot be told.
        DatasetError: They do not fit together.
    """
    choice = read_choice(path, keys, arrays)
    if choice.listed is None and not choice.names:
        refuse_objects(path, list(arrays.values()))
    action = find_action(path, arrays, choice)
    if not action.is_numbers or not action.shape or not action.shape[0]:
        raise DatasetError(f"{path}: {action.text()} holds no actions; name others with keys=...")

    n_rows = action.shape[0]
    marks = find_marks(path, arrays, choice, n_rows)
    if marks is None:
        fault = f"nothing marks where the episodes of its {n_rows} steps end"
        raise unclear(path, arrays, fault, {ACTION: action.name})

    result = _sort(path, arrays, choice, action, marks)
    named = result.named
    refuse_objects(path, list(named.values()))
    refuse_wide_rows(path, list(named.values()))
    n_steps = int(marks.ends[-1])

    def rows(n: int, first: int, last: int) -> Iterator[Block]:
        for start in range(first, last, n):
            stop = min(start + n, last)
            yield {key: as_rows(array.rows(start, stop)) for key, array in named.items()}

    def blocks_of(n: int, episodes: NDArray[np.int64]) -> Iterator[Block]:
        runs = (rows(n, *run) for run in row_runs(marks.ends, episodes))
        return gathered(chain.from_iterable(runs), n)

    return ForeignData(
        shapes={key: array.shape[1:] or (1,) for key, array in named.items()},
        dtypes={key: array.dtype.newbyteorder("=") for key, array in named.items()},
        episode_ends=marks.ends,
        blocks=lambda n: rows(n, 0, n_steps),
        blocks_of=blocks_of,
        stated=result.stated,
        kept=result.kept,
        notes=(*marks.notes, *result.notes),
        mapped=differing(named),
        converted=tuple(
            f"{key}: single numbers, written as vectors of length 1"
            for key, array in named.items()
            if len(array.shape) == 1
        ),
        seeds=result.seeds,
        found=tuple(
            Found(a.name, a.shape, str(a.dtype), result.roles[a.name]) for a in arrays.values()
        ),
    )


def row_runs(ends: NDArray[np.int64], episodes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the rows [start, stop) that episodes cover, those that follow each other together."""
    if not len(episodes):
        return
    starts = np.concatenate([[0], ends[:-1]])
    breaks = np.flatnonzero(np.diff(episodes) != 1) + 1
    for run in np.split(episodes, breaks):
        yield int(starts[run[0]]), int(ends[run[-1]])


def as_rows(values: NDArray[Any]) -> NDArray[Any]:
    """Return [t] numbers as [t, 1], everything else as it is."""
    return values[:, None] if values.ndim == 1 else values


def _sort(path: Path, arrays: Arrays, choice: Choice, action: SourceArray, marks: Marks) -> _Sorted:
    n_rows = action.shape[0]
    steps = [
        array
        for array in of_length(arrays.values(), n_rows)
        if array.name not in (action.name, *marks.names, *choice.roles.values())
    ]
    wanted = _wanted(path, arrays, choice, steps, n_rows)
    if choice.names:
        named = {ACTION: action, **{ours: arrays[name] for ours, name in choice.names.items()}}
    else:
        named = name_keys(action, wanted)
    if len(named) == 1 and choice.listed is None and not choice.names:
        known = {ACTION: action.name}
        raise unclear(path, arrays, "no array looks like an observation", known)

    result = _Sorted(named, {array.name: f"key {key!r}" for key, array in named.items()})
    for name in marks.names:
        result.roles.setdefault(name, "marks the episodes")
    _read_facts(path, arrays, choice, marks, result)
    for array in arrays.values():
        if array.name not in result.roles:
            result.roles[array.name] = "not carried over"
            result.notes.append(f"not carried over: {array.text()}")
    return result


def _wanted(
    path: Path, arrays: Arrays, choice: Choice, steps: Sequence[SourceArray], n_rows: int
) -> list[SourceArray]:
    """Return the arrays to copy besides the action."""
    asked = [*choice.names.values(), *(choice.listed or ())]
    for name in asked:
        array = arrays[name]
        if (
            not array.shape
            or array.shape[0] != n_rows
            or not (array.is_numbers or array.is_objects)
        ):
            raise DatasetError(
                f"{path}: {array.text()} is no key of {n_rows} steps of numbers; leave it out of "
                "keys="
            )
    if choice.listed is not None:
        return [array for array in steps if array.name in choice.listed]
    known = (*SEED_NAMES, *TIME_NAMES)
    return [a for a in steps if a.is_numbers and not is_left_out(a) and a.leaf not in known]


def _read_facts(path: Path, arrays: Arrays, choice: Choice, marks: Marks, result: _Sorted) -> None:
    """Read seeds, rate, environment and other single values."""
    n_episodes = len(marks.ends)
    for array in arrays.values():
        if array.name in result.roles:
            continue
        if _is_role(array, "seed", choice, SEED_NAMES) and array.shape[:1] == (n_episodes,):
            _read_seeds(array, result)
        elif _is_role(array, "timestamp", choice, TIME_NAMES):
            _read_times(array, marks, result)
        elif not array.shape or array.shape == (1,):
            single = read_single(array)
            if single is not None:
                result.roles[array.name] = f"kept: {single.value!r}"
                result.kept[array.name] = single.value
                result.stated.update(single.stated)


def _is_role(array: SourceArray, role: str, choice: Choice, names: tuple[str, ...]) -> bool:
    if role in choice.roles:
        return array.name == choice.roles[role]
    return array.leaf in names


def _read_seeds(array: SourceArray, result: _Sorted) -> None:
    if array.dtype.kind not in "iu" or len(array.shape) != 1:
        return
    seeds = array.whole()
    if seeds.min() < 0 or seeds.max() > np.iinfo(np.int64).max:
        return
    result.seeds = seeds.astype(np.int64)
    result.roles[array.name] = "the episodes' seeds"


def _read_times(array: SourceArray, marks: Marks, result: _Sorted) -> None:
    if array.shape[0:1] != (int(marks.ends[-1]),) or len(array.shape) != 1 or not array.is_numbers:
        return
    rate, note = rate_of_times(array.name, array.whole(), marks.ends)
    result.roles[array.name] = "times"
    result.notes.append(note)
    if rate is not None:
        result.stated.setdefault("control_rate_hz", rate)

"""Where episodes end, from whatever marks them: ends, lengths, starts, an index, or done flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from .arrays import SourceArray
from .names import MARKS
from .roles import Arrays, Choice

Ends = NDArray[np.int64]


@dataclass(frozen=True)
class Marks:
    """The episodes of a flat source.

    Attributes:
        ends: int64 [n_episodes], the row after each episode's last.
        names: The arrays that they were read from.
        notes: What deserves a look.
    """

    ends: Ends
    names: tuple[str, ...]
    notes: tuple[str, ...]


def find_marks(path: Path, arrays: Arrays, choice: Choice, n_rows: int) -> Marks | None:
    """Find the episodes of `n_rows` rows; None where nothing marks them.

    Of several marks the most certain counts (`names.MARKS`, in order), and the others that tell
    the same must agree with it. Done flags are not compared: some mark success only.

    Raises:
        DatasetError: Two marks differ, or they cannot be the ends of episodes.
    """
    given = {kind: choice.roles[kind] for kind in MARKS if kind in choice.roles}
    found: dict[str, tuple[str, ...]] = {kind: (name,) for kind, name in given.items()}
    if not found:
        found = _by_name(path, arrays, n_rows)
    if not found:
        return None

    read = {kind: _READERS[kind] for kind in found}
    ends: dict[str, Ends] = {}
    for kind, names in found.items():
        if kind != "done" or not ends:
            values = [_numbers(path, arrays[name]) for name in names]
            ends[kind] = read[kind](path, names[0], values, n_rows)

    kinds = list(ends)
    chosen = ends[kinds[0]]
    for other in kinds[1:]:
        if not np.array_equal(chosen, ends[other]):
            raise DatasetError(
                f"{path}: {found[kinds[0]][0]!r} and {found[other][0]!r} mark different episodes; "
                f"say which is right with keys='{{{kinds[0]}: {found[kinds[0]][0]}}}'"
            )
    names = tuple(name for kind in found for name in found[kind])
    notes = _notes(chosen, kinds[0], found[kinds[0]], n_rows)
    return Marks(chosen, names, notes)


def _by_name(path: Path, arrays: Arrays, n_rows: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for kind, known in MARKS.items():
        fitting = [a for a in arrays.values() if a.leaf in known and _can_mark(kind, a, n_rows)]
        if len(fitting) > 1 and kind != "done":
            names = " or ".join(f"{kind}: {array.name}" for array in fitting)
            raise DatasetError(
                f"{path}: several arrays may mark the episodes; say which with keys={{...}}, "
                f"{names}"
            )
        if fitting:
            found[kind] = tuple(array.name for array in fitting)
    return found


def _can_mark(kind: str, array: SourceArray, n_rows: int) -> bool:
    size = array.shape[0] if array.shape else 0
    flat = bool(array.shape) and all(each == 1 for each in array.shape[1:])
    if not flat or array.dtype.kind not in "biuf" or not size:
        return False
    if kind in ("episode_index", "done"):
        return size == n_rows and (kind == "done" or array.dtype.kind in "iu")
    return size <= n_rows and array.dtype.kind in ("biu" if kind == "episode_starts" else "iu")


def _numbers(path: Path, array: SourceArray) -> NDArray[Any]:
    if not array.is_numbers or not array.shape:
        raise DatasetError(
            f"{path}: {array.text()} cannot mark episodes; give a list of whole numbers or flags"
        )
    return array.whole().reshape(-1)


def _from_ends(path: Path, name: str, values: list[NDArray[Any]], n_rows: int) -> Ends:
    ends = _whole(path, name, values[0])
    if not len(ends) or np.any(np.diff(ends, prepend=0) <= 0) or ends[-1] > n_rows:
        raise DatasetError(
            f"{path}: {name!r} must grow from above 0 to at most {n_rows}, the number of actions; "
            "repair it, or name other marks with keys={...}"
        )
    return ends


def _from_lengths(path: Path, name: str, values: list[NDArray[Any]], n_rows: int) -> Ends:
    lengths = _whole(path, name, values[0])
    if not len(lengths) or lengths.min() < 0 or lengths.max() > n_rows:
        raise DatasetError(f"{path}: {name!r} holds no lengths of episodes; name other marks")
    return _from_ends(path, name, [np.cumsum(lengths[lengths > 0])], n_rows)


def _from_starts(path: Path, name: str, values: list[NDArray[Any]], n_rows: int) -> Ends:
    starts = values[0]
    if len(starts) == n_rows and (starts.dtype.kind == "b" or (n_rows > 1 and starts.max() <= 1)):
        starts = np.flatnonzero(starts)
    starts = _whole(path, name, starts)
    if not len(starts) or starts[0] != 0:
        raise DatasetError(
            f"{path}: {name!r} must begin with 0, the first row; name other marks with keys={{...}}"
        )
    return _from_ends(path, name, [np.append(starts[1:], n_rows)], n_rows)


def _from_index(path: Path, name: str, values: list[NDArray[Any]], n_rows: int) -> Ends:
    index = _whole(path, name, values[0])
    if len(index) != n_rows:
        raise DatasetError(f"{path}: {name!r} has {len(index)} rows, the action {n_rows}")
    ends = np.append(np.flatnonzero(np.diff(index)) + 1, n_rows).astype(np.int64)
    of_episodes = index[ends - 1]
    if len(np.unique(of_episodes)) != len(of_episodes):
        raise DatasetError(
            f"{path}: {name!r} comes back to an episode that had ended; sort the rows by episode"
        )
    return ends


def _from_flags(path: Path, name: str, values: list[NDArray[Any]], n_rows: int) -> Ends:
    last = np.zeros(n_rows, dtype=bool)
    for flags in values:
        if len(flags) != n_rows or not np.isin(flags, (0, 1)).all():
            raise DatasetError(f"{path}: {name!r} does not hold a flag for each action")
        last |= flags.astype(bool)
    ends = np.flatnonzero(last).astype(np.int64) + 1
    return ends if len(ends) and ends[-1] == n_rows else np.append(ends, np.int64(n_rows))


_Reader = Callable[[Path, str, list[NDArray[Any]], int], Ends]
_READERS: Mapping[str, _Reader] = {
    "episode_ends": _from_ends,
    "episode_lengths": _from_lengths,
    "episode_starts": _from_starts,
    "episode_index": _from_index,
    "done": _from_flags,
}


def _whole(path: Path, name: str, values: NDArray[Any]) -> Ends:
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == values.round()).all():
        values = values.astype(np.int64) if np.abs(values).max(initial=0) < 2**53 else values
    if values.dtype.kind not in "biu" or values.max(initial=0) > np.iinfo(np.int64).max:
        raise DatasetError(
            f"{path}: {name!r} holds {values.dtype}, no whole numbers; name other marks with "
            "keys={...}"
        )
    return values.astype(np.int64)


def _notes(ends: Ends, kind: str, names: tuple[str, ...], n_rows: int) -> tuple[str, ...]:
    notes = [f"{len(ends)} episodes, as {' and '.join(names)} mark them ({kind})"]
    if ends[-1] < n_rows:
        notes.append(f"not carried over: {n_rows - int(ends[-1])} steps after the last episode")
    return tuple(notes)

"""What becomes of the arrays of one episode, by the rules of `names.py` or by `keys=`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError
from ...keys import ACTION
from ..importer import Found, Keys
from .arrays import SourceArray, refuse_objects
from .episodes import Plan
from .names import MARKS, SEED_NAMES, TIME_NAMES
from .roles import Arrays, Choice, find_action, is_left_out, name_keys, read_choice, unclear
from .singles import read_single
from .timing import rate_of_times


def plan_episode(path: Path, arrays: Arrays, keys: Keys) -> Plan:
    """Decide from the first episode what becomes of the arrays of all.

    Raises:
        UnclearError: Which array is which cannot be told.
        DatasetError: A key that was asked for is not there.
    """
    choice = read_choice(path, keys, arrays)
    if choice.listed is None and not choice.names:
        refuse_objects(path, list(arrays.values()))
    action = find_action(path, arrays, choice)
    length = action.shape[0] if action.shape else 0
    if choice.names:
        named = {ACTION: action, **{ours: arrays[name] for ours, name in choice.names.items()}}
    else:
        named = name_keys(action, _others(arrays, choice, action, length))
    if len(named) == 1 and choice.listed is None:
        raise unclear(path, arrays, "no array looks like an observation", {ACTION: action.name})

    plan = Plan(keys={key: array.name for key, array in named.items()})
    roles = {name: f"key {key!r}" for key, name in plan.keys.items()}
    for array in arrays.values():
        if array.name not in roles:
            roles[array.name] = _read_fact(array, choice, length, plan)
    plan.notes += [
        f"not carried over: {arrays[name].text()}"
        for name, role in roles.items()
        if role == "not carried over"
    ]
    plan.found = tuple(Found(a.name, a.shape, str(a.dtype), roles[a.name]) for a in arrays.values())
    return plan


def _others(arrays: Arrays, choice: Choice, action: SourceArray, length: int) -> list[SourceArray]:
    """Return the arrays to copy besides the action."""
    if choice.listed is not None:
        return [arrays[name] for name in choice.listed if name != action.name]
    known = {*SEED_NAMES, *TIME_NAMES, *(name for names in MARKS.values() for name in names)}
    return [
        array
        for array in arrays.values()
        if array.name != action.name
        and array.name not in choice.roles.values()
        and array.is_numbers
        and array.shape
        and array.shape[0] in (length, length + 1)
        and array.leaf not in known
        and not is_left_out(array)
    ]


def _read_fact(array: SourceArray, choice: Choice, length: int, plan: Plan) -> str:
    """Read what an array tells of the episodes; return its role."""
    seed = choice.roles.get("seed") == array.name or array.leaf in SEED_NAMES
    if seed and array.shape in ((), (1,)) and array.dtype.kind in "iu":
        plan.seed = array.name
        return "the episode's seed"
    time = choice.roles.get("timestamp") == array.name or array.leaf in TIME_NAMES
    if time and array.is_numbers and array.shape in ((length,), (length + 1,)):
        ends = np.array([array.shape[0]], dtype=np.int64)
        rate, note = rate_of_times(array.name, array.whole(), ends)
        plan.notes.append(f"{note}; read from the first episode")
        if rate is not None:
            plan.stated.setdefault("control_rate_hz", rate)
        return "times"
    if array.shape in ((), (1,)):
        single = read_single(array)
        if single is not None:
            plan.stated.update(single.stated)
            plan.kept[array.name] = single.value
            return f"kept: {single.value!r}"
    return "not carried over"


def check_map(path: Path, keys: Any) -> None:
    """Refuse marks of episodes in a source whose episodes lie apart already."""
    marks = [role for role in MARKS if isinstance(keys, dict) and role in keys]
    if marks:
        raise DatasetError(
            f"{path}: its episodes lie apart already, so {marks[0]!r} says nothing; leave it out "
            "of keys"
        )

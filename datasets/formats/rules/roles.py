"""Which array is the action, which are observations: by written rules, or by `keys={...}`.

A role is guessed only where exactly one array fits it. The names are in `names.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DatasetError, nearest
from ...keys import ACTION
from ..importer import Found, Keys
from .arrays import SourceArray
from .names import ACTION_NAMES, LEFT_OUT, OBS_NAMES, ROLES

Arrays = Mapping[str, SourceArray]
SHOWN_ARRAYS = 20


class UnclearError(DatasetError):
    """The roles of a source's arrays cannot be told.

    Attributes:
        found: What the source holds.
        setting: The `keys=...` to write, with NAME where a name is to be filled in.
    """

    def __init__(self, message: str, found: tuple[Found, ...], setting: str) -> None:
        super().__init__(message)
        self.found = found
        self.setting = setting


@dataclass
class Choice:
    """What the user asked for with `keys=`.

    Attributes:
        roles: {role: source name}, such as `episode_ends`.
        names: {our key: source name}, for a map; empty for a list.
        listed: The names of a list; None for a map or nothing.
    """

    roles: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] | None = None


def read_choice(path: Path, keys: Keys, arrays: Arrays) -> Choice:
    """Check `keys=` against the arrays of a source, which may be named by their last part.

    Raises:
        DatasetError: A name is not there, or fits several arrays.
    """
    if keys is None:
        return Choice()
    if not isinstance(keys, Mapping):
        return Choice(listed=tuple(_resolve(path, name, arrays) for name in keys))
    named = {ours: _resolve(path, name, arrays) for ours, name in keys.items()}
    roles = {ours: name for ours, name in named.items() if ours in ROLES}
    return Choice(roles=roles, names={o: n for o, n in named.items() if o not in ROLES})


def _resolve(path: Path, name: str, arrays: Arrays) -> str:
    if name in arrays:
        return name
    fitting = [each for each in arrays if each.rpartition("/")[2] == name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(fitting)
        raise DatasetError(f"{path} holds several arrays called {name!r}: {names}; say which")
    raise DatasetError(f"{path} has no array {name!r}{nearest(name, arrays)}")


def find_action(path: Path, arrays: Arrays, choice: Choice) -> SourceArray:
    """Return the array that holds the actions.

    Raises:
        UnclearError: None has such a name, or several do.
    """
    if ACTION in choice.roles:
        return arrays[choice.roles[ACTION]]
    named = [array for array in arrays.values() if array.leaf in ACTION_NAMES and array.shape]
    exact = [array for array in named if array.leaf == ACTION]
    fitting = exact if len(exact) == 1 else named
    if len(fitting) == 1:
        return fitting[0]
    fault = f"{len(fitting)} arrays may be the action" if fitting else "no array is called action"
    raise unclear(path, arrays, fault, {})


def unclear(path: Path, arrays: Arrays, fault: str, known: Mapping[str, str]) -> UnclearError:
    """Return the error that shows what was found and the command to write."""
    wanted = {ACTION: "NAME", "episode_ends": "NAME", "obs": "NAME", **known}
    shown = ", ".join(array.text() for array in list(arrays.values())[:SHOWN_ARRAYS])
    more = f" and {len(arrays) - SHOWN_ARRAYS} more" if len(arrays) > SHOWN_ARRAYS else ""
    setting = "keys={" + ", ".join(f"{ours}: {name}" for ours, name in wanted.items()) + "}"
    return UnclearError(
        f"{path}: {fault}; it holds {shown}{more}; say which with '{setting}'",
        tuple(Found(a.name, a.shape, str(a.dtype), "not known") for a in arrays.values()),
        setting,
    )


def name_keys(action: SourceArray, others: Sequence[SourceArray]) -> dict[str, SourceArray]:
    """Give arrays the names of keys: the last part of theirs, the whole where that is taken."""
    counts: dict[str, int] = {ACTION: 1}
    for array in others:
        counts[_short(array)] = counts.get(_short(array), 0) + 1
    named = {ACTION: action}
    for array in others:
        short = _short(array)
        named[short if counts[short] == 1 else plain_key(array.name)] = array
    return named


def _short(array: SourceArray) -> str:
    return "obs" if array.leaf in OBS_NAMES else plain_key(array.name.rpartition("/")[2])


def plain_key(name: str) -> str:
    """Return a name that can stand as a key: no slashes, nothing hidden."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("._") or "unnamed"


def asked_for(
    path: Path, keys: Iterable[str], known: Mapping[str, str], *, key_of: Callable[[str], str]
) -> dict[str, str]:
    """Return what `keys` ask for, {our key: the source's name}; they may use either's names.

    Args:
        path: The source.
        keys: What is asked for.
        known: {our key: the source's name} of all there is.
        key_of: Our key for a name of the source.

    Raises:
        DatasetError: There is no such key.
    """
    chosen = {}
    for key in keys:
        name = key if key in known else key_of(key)
        if name not in known:
            raise DatasetError(f"{path} has no key {key!r}{nearest(key, known)}")
        chosen[name] = known[name]
    return chosen


def is_left_out(array: SourceArray) -> bool:
    """Say whether an array is copied only when asked for."""
    return array.leaf in LEFT_OUT


def differing(named: Mapping[str, SourceArray]) -> dict[str, str]:
    """Return {our key: the source's name} of those that have another name there."""
    return {key: array.name for key, array in named.items() if key != array.name}


def of_length(arrays: Iterable[SourceArray], length: int) -> list[SourceArray]:
    """Return those arrays that have this many rows."""
    return [array for array in arrays if array.shape and array.shape[0] == length]

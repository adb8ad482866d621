"""Arguments of environments, held to what their constructors declare.

They may come from a file of unknown origin: only names, types and ranges that a constructor
declares pass, and nothing that can be called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from .errors import EnvError, unknown_name

MAX_PIXELS = 2048
"""Of a picture's edge."""
MAX_STEPS = 1_000_000
"""Of an episode's time limit."""


def check_arguments(
    env_id: str, callables: Sequence[Callable[..., Any]], arguments: Mapping[str, Any]
) -> None:
    """Check arguments by name and type.

    Args:
        env_id: named in the errors.
        callables: what takes the arguments; each after the first is reached through a `**kwargs`
            of the one before it.
        arguments: name -> value.

    Raises:
        EnvError: an argument that none of them takes, or of another type than declared.
    """
    declared: dict[str, Any] = {}
    for function in callables:
        parameters = inspect.signature(function, eval_str=True).parameters.values()
        named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
        declared = {each.name: each.annotation for each in named} | declared
        if len(named) == len(parameters):
            break

    # Only plain values pass, and no plain value is a Task.
    declared = {name: hint for name, hint in declared.items() if _is_plain(hint)}
    for name, value in arguments.items():
        if name not in declared:
            raise unknown_name(f"argument of {env_id}", name, declared)
        if not _fits(value, declared[name]):
            wanted = inspect.formatannotation(declared[name]).replace("collections.abc.", "")
            raise EnvError(f"argument {name!r} of {env_id} takes {wanted}, not {value!r:.60}")


def check_range(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise EnvError where `value` does not lie within lowest ... highest."""
    if not lowest <= value <= highest:
        raise EnvError(f"{name} lies between {lowest} and {highest}; got {value}")


_SCALARS = (str, bool, int, float, type(None))


def _is_plain(hint: Any) -> bool:
    """Whether a declared type holds nothing but scalars and sequences of them."""
    parts = [part for part in get_args(hint) if part is not Ellipsis]
    return all(map(_is_plain, parts)) if parts else hint in _SCALARS


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of a declared type; lists, as YAML has them, pass for tuples."""
    origin = get_origin(hint)
    parts = get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is None:
        allowed = (int, float) if hint is float else hint
        # A bool is an int to Python, and never meant as one here.
        return isinstance(value, allowed) and (hint is bool or not isinstance(value, bool))
    if not isinstance(value, (list, tuple)):
        return False
    if origin is tuple:
        return len(value) == len(parts) and all(map(_fits, value, parts))
    return all(_fits(item, parts[0]) for item in value)

"""Values of settings: what a type and its bounds allow, and the words that say so.

A type is written as in any typed Python: `int`, `Path | None`, `Literal["success", "score"]`,
`Annotated[int, AtLeast(1)]`, `tuple[int, ...]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

#: Words that YAML's users and Hydra's write for a truth value.
TRUTHS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


class Bound(Protocol):
    """What a type alone does not say of a value."""

    def allows(self, value: Any) -> bool:
        """Say whether the value lies within."""

    def __str__(self) -> str:
        """Return the words behind the type's own: "a whole number" + "of at least 1"."""


@dataclass(frozen=True)
class AtLeast:
    """Not below `low`."""

    low: float

    def allows(self, value: Any) -> bool:
        return bool(value >= self.low)

    def __str__(self) -> str:
        return f"of at least {self.low:g}"


@dataclass(frozen=True)
class Above:
    """Greater than `low`."""

    low: float

    def allows(self, value: Any) -> bool:
        return bool(value > self.low)

    def __str__(self) -> str:
        return f"above {self.low:g}"


@dataclass(frozen=True)
class AtMost:
    """Not above `high`."""

    high: float

    def allows(self, value: Any) -> bool:
        return bool(value <= self.high)

    def __str__(self) -> str:
        return f"of at most {self.high:.10g}"


@dataclass(frozen=True)
class Below:
    """Less than `high`."""

    high: float

    def allows(self, value: Any) -> bool:
        return bool(value < self.high)

    def __str__(self) -> str:
        return f"below {self.high:g}"


@dataclass(frozen=True)
class Device:
    """The name of a device that this machine has."""

    def allows(self, value: Any) -> bool:
        import torch

        try:
            device = torch.device(value)
        except RuntimeError:
            return False
        if device.type == "cuda":
            return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
        if device.type == "mps":
            return torch.backends.mps.is_available()
        return device.type == "cpu" and not device.index

    def __str__(self) -> str:
        import torch

        here = ["cpu"] + ["cuda"] * torch.cuda.is_available()
        here += ["mps"] * torch.backends.mps.is_available()
        return f"for a device of this machine: {' or '.join(here)}"


class Refused(Exception):
    """A value that its type does not allow."""


Count = Annotated[int, AtLeast(1)]
NonNegative = Annotated[int, AtLeast(0)]
Positive = Annotated[float, Above(0)]
#: Seeds of torch, numpy and the environments alike.
Seed = Annotated[int, AtLeast(0), AtMost(2**32 - 1)]
DeviceName = Annotated[str, Device()]
#: Environments in one process, and processes: beyond this a machine only swaps.
Environments = Annotated[int, AtLeast(1), AtMost(4096)]
Workers = Annotated[int, AtLeast(0), AtMost(256)]


def convert(value: Any, hint: Any) -> Any:
    """Return `value`, plain data of a configuration, as the type `hint` asks for it.

    A number without a fraction may stand for a whole one (`1e4`), a list for a tuple, text for a
    path. A class that is none of these stands for a node with `_target_`.

    Raises:
        Refused: the value does not fit.
    """
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return _bounded(value, *get_args(hint))
    if origin in (Union, UnionType):
        return _first_that_fits(value, get_args(hint))
    if origin is Literal:
        return _choice(value, get_args(hint))
    if origin is tuple:
        return tuple(_items(value, get_args(hint)))
    if origin in (list, Sequence):
        return [convert(item, get_args(hint)[0]) for item in _listed(value)]
    if origin in (dict, Mapping):
        return _mapping(value, get_args(hint)[1])
    scalar = SCALARS.get(hint)
    return _node(value) if scalar is None else scalar(value)


def describe(hint: Any) -> str:
    """Return in words what a type allows, e.g. "a whole number of at least 1, or null"."""
    origin = get_origin(hint)
    parts = get_args(hint)
    if origin is Annotated:
        return " ".join((describe(parts[0]), " and ".join(map(str, parts[1:]))))
    if origin in (Union, UnionType):
        return ", or ".join(dict.fromkeys(describe(part) for part in _null_last(parts)))
    if origin is Literal:
        return " or ".join(_literal(part) for part in parts)
    if origin is tuple and parts[-1] is not Ellipsis:
        return f"a list of {len(parts)}, each {describe(parts[0])}"
    if origin in (tuple, list, Sequence):
        return f"a list such as [a,b], each {describe(parts[0])}"
    if origin in (dict, Mapping):
        return "a mapping such as {key: value}"
    return WORDS.get(hint, "a choice of that slot")


def _bounded(value: Any, hint: Any, *bounds: Bound) -> Any:
    converted = convert(value, hint)
    if not all(bound.allows(converted) for bound in bounds):
        raise Refused
    return converted


def _first_that_fits(value: Any, hints: Sequence[Any]) -> Any:
    for hint in hints:
        try:
            return convert(value, hint)
        except Refused:
            continue
    raise Refused


def _choice(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    raise Refused


def _items(value: Any, hints: Sequence[Any]) -> list[Any]:
    items = _listed(value)
    if hints[-1] is Ellipsis:
        return [convert(item, hints[0]) for item in items]
    if len(items) != len(hints):
        raise Refused
    return [convert(item, hint) for item, hint in zip(items, hints, strict=True)]


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise Refused
    return value


def _mapping(value: Any, hint: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused
    return {str(key): convert(item, hint) for key, item in value.items()}


def _node(value: Any) -> Any:
    if not (isinstance(value, Mapping) and "_target_" in value):
        raise Refused
    return value


def _null(value: Any) -> None:
    if value is not None:
        raise Refused


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUTHS:
        return TRUTHS[value.lower()]
    raise Refused


def _int(value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise Refused
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
        raise Refused
    if not math.isfinite(value):
        raise Refused
    return float(value)


def _str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise Refused
    return str(value)


def _path(value: Any) -> Path:
    text = _str(value)
    if "\0" in text or "\n" in text or not text.strip():
        raise Refused
    return Path(text)


SCALARS: dict[Any, Callable[[Any], Any]] = {
    NoneType: _null,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    Path: _path,
}
WORDS: dict[Any, str] = {
    NoneType: "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
}


def _null_last(hints: Sequence[Any]) -> list[Any]:
    return sorted(hints, key=lambda hint: hint is NoneType)


def _literal(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)

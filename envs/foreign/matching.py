"""Which of an environment's observations is which of a policy's, and in what form."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EnvError

Shape = tuple[int, ...]
FLAT = "state"
"""What an observation without a name is called where nobody expects another."""


@dataclass(frozen=True)
class Match:
    """One observation of a policy: where it comes from, and what is done to its shape."""

    source: str
    shape: Shape
    arrange: Callable[[NDArray[Any]], NDArray[Any]]


def match_observations(
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape] | None,
    rename: Mapping[str, str],
    name: str,
) -> tuple[dict[str, Match], list[str]]:
    """Return our key -> where it comes from, and notes on what was not plain.

    Names are equal where they differ in `/`, `.` and `:` alone. A single observation without a
    name is the policy's only one, whatever that is called.

    Args:
        found: the environment's names and shapes; "" is an observation without a name.
        expected: the policy's; None takes the environment's as they are.
        rename: the environment's name -> ours.
        name: of the environment, for errors.

    Raises:
        EnvError: an observation is missing or has another shape.
    """
    for old in rename:
        if old not in found:
            raise EnvError(f"rename: {name} observes no {old!r}{_nearest(old, found)}")
    ours = {source: rename.get(source, source or FLAT) for source in found}
    if expected is None:
        expected = {key: found[source] for source, key in ours.items()}

    notes = []
    matches = {}
    by_name = {_plain(key): source for source, key in ours.items()}
    for key, shape in expected.items():
        source = by_name.get(_plain(key))
        if source is None and len(found) == len(expected) == 1 and not rename:
            [source] = found
            notes.append(f"{name}'s only observation is taken for the policy's '{key}'")
        if source is None:
            raise EnvError(_missing(key, shape, found, ours, name))
        matches[key] = _match(source, key, found[source], shape, name)
        if found[source] != shape:
            notes.append(f"'{key}' of shape {found[source]} is rearranged to {shape}")
    return matches, notes


def _match(source: str, key: str, has: Shape, wanted: Shape, name: str) -> Match:
    """Return the match of an observation, its shape arranged where nothing is lost by it."""
    if has == wanted:
        return Match(source, wanted, lambda value: value)
    if _solid(has) == _solid(wanted):
        return Match(source, wanted, lambda value: value.reshape(wanted))
    if len(has) == 3 and has[0] in (1, 3, 4) and (*has[1:], has[0]) == wanted:
        return Match(source, wanted, lambda value: np.moveaxis(value, 0, -1))
    raise EnvError(
        f"the policy observes {key!r} of shape {wanted}, {name} gives {has}; "
        "was it trained on data of this environment?"
    )


def _missing(
    key: str, shape: Shape, found: Mapping[str, Shape], ours: Mapping[str, str], name: str
) -> str:
    alike = [source for source, has in found.items() if _solid(has) == _solid(shape)]
    mend = _nearest(key, ours.values())
    if not mend and len(alike) == 1 and alike[0]:
        mend = f"; if '{alike[0]}' is it, say 'rename={{{alike[0]}: {key}}}'"
    listed = ", ".join(f"{ours[source]} {found[source]}" for source in sorted(found))
    return f"the policy observes {key!r} {shape}, {name} does not; it has {listed[:300]}{mend}"


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(key: str) -> str:
    return key.replace(".", "/").replace(":", "/")


def _solid(shape: Shape) -> Shape:
    """Return the shape without axes of length 1; that of a vector for a number."""
    return tuple(n for n in shape if n != 1) or (math.prod(shape),)

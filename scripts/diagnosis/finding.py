"""What evidence is worth, so that unlike evidence can be ranked.

The rule. A clue says how much of a failure it could explain, if it is what it looks like:

    strength = kind x effect

`effect` lies in [0, 1]: 0 at what a healthy run shows, 1 at what would spoil a policy alone; it is
0 as well where chance could have made it (an interval that holds "harmless"). `kind` says how
directly the cause was seen:

    FACT   1.0  something that must hold does not: a replay that differs, wrong statistics
    CAUSE  0.8  a known cause, measured in this run against its own baseline
    HINT   0.5  what often goes with a failure, and may be its consequence

A policy that succeeds needs no explanation: clues other than facts are weighed by the share of
failures, in full from a fifth on. Clues for one cause add up as independent ones do,
1 - (1 - s_1)(1 - s_2) ... What stays below `NOTEWORTHY` is not reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

FACT = 1.0
CAUSE = 0.8
HINT = 0.5

#: The least strength that is reported.
NOTEWORTHY = 0.25
#: Share of failures from which on every clue counts in full.
FAILING = 0.2


@dataclass(frozen=True)
class Clue:
    """One piece of evidence.

    Attributes:
        cause: what it speaks for, a key of `causes.CAUSES`.
        kind: FACT, CAUSE or HINT.
        effect: how much of a failure it could explain, in [0, 1].
        text: what was measured, in one sentence.
    """

    cause: str
    kind: float
    effect: float
    text: str


@dataclass(frozen=True)
class Finding:
    """A cause that the evidence supports.

    Attributes:
        name: of the cause.
        strength: in [0, 1]; see the rule above.
        evidence: what was measured, the strongest first.
        advice: what to try.
        command: the command line for it.
    """

    name: str
    strength: float
    evidence: tuple[str, ...]
    advice: str
    command: str


def ramp(value: float, harmless: float, grave: float) -> float:
    """Return where a value lies between two levels, as a number in [0, 1]; 0 where it is NaN."""
    if not math.isfinite(value):
        return 1.0 if value == math.copysign(math.inf, grave - harmless) else 0.0
    return min(1.0, max(0.0, (value - harmless) / (grave - harmless)))


def failing(success: float | None) -> float:
    """Return the weight of clues that are no facts, given the rate of success if it is known."""
    return 1.0 if success is None else ramp(1 - success, 0.0, FAILING)


def strengths(
    clues: Iterable[Clue], success: float | None
) -> list[tuple[str, float, tuple[str, ...]]]:
    """Return (cause, strength, texts) of every noteworthy cause, the strongest first."""
    weight = failing(success)
    by_cause: dict[str, list[tuple[float, str]]] = {}
    for clue in clues:
        worth = clue.kind * clue.effect * (1.0 if clue.kind == FACT else weight)
        if worth > 0:
            by_cause.setdefault(clue.cause, []).append((worth, clue.text))

    found = []
    for cause, parts in by_cause.items():
        strength = 1 - math.prod(1 - worth for worth, _ in parts)
        texts = [text for _, text in sorted(parts, key=lambda part: -part[0])]
        if strength >= NOTEWORTHY:
            found.append((cause, strength, tuple(texts)))
    return sorted(found, key=lambda each: -each[1])

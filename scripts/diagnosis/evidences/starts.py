"""Does the policy succeed from the demonstrations' own starts, and not from others?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..finding import CAUSE, Clue, ramp
from ..rollouts import fresh, own

if TYPE_CHECKING:
    from ..case import Case


def clues(case: Case) -> Sequence[Clue]:
    """Compare the rates of success from own and from fresh starts."""
    ours = case.once(own)
    others = case.once(fresh)
    if not ours:
        case.notes.append("own starts: the demonstrations' seeds are unknown")
        return []
    low, high = gap(
        sum(e.success for e in ours), len(ours), sum(e.success for e in others), len(others)
    )
    rates = [float(np.mean([e.success for e in episodes])) for episodes in (ours, others)]
    text = (
        f"success is {rates[0]:.2f} from the demonstrations' own starts and {rates[1]:.2f} from "
        f"fresh ones: {rates[0] - rates[1]:+.2f} [{low:+.2f}, {high:+.2f}]"
    )
    return [Clue("too_little_data", CAUSE, ramp(low, 0.0, 0.3), text)]


def gap(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """Return the interval of 95 % on the difference of two rates, a of n less b of m.

    From the two Wilson intervals (Newcombe 1998, method 10).
    """
    from kinoise.envs.intervals import wilson_interval

    first = wilson_interval(a, n)
    second = wilson_interval(b, m)
    difference = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return difference - down, difference + up

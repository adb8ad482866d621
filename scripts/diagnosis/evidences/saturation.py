"""Are actions cut off: by the environment, or in the data?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..finding import FACT, HINT, Clue, ramp
from ..rollouts import bounds, fresh

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: A value this near to a limit, as a part of the range, is at it.
AT = 1e-3
#: Fewer values than these are commands of a switch, not of a motion.
FEWEST_VALUES = 8


def clues(case: Case) -> Sequence[Clue]:
    """Count actions beyond the environment's limits, and at the edges of their own range."""
    return [*_beyond(case), _at_edges(case.demonstrations.action)]


def _beyond(case: Case) -> list[Clue]:
    limits = bounds(case)
    if limits is None:
        return []
    share = _outside(case.demonstrations.action, *limits)
    found = [_clue("demonstrated", share)]
    rolled = [np.asarray(e.action, np.float64) for e in case.once(fresh) if e.action is not None]
    if rolled:
        # The policy's own excess matters where the demonstrations have none.
        excess = _outside(np.concatenate(rolled), *limits)
        found.append(_clue("the policy's", excess if share > 0 else 0.0))
    return found


def _clue(whose: str, share: float) -> Clue:
    text = f"{100 * share:.0f} % of {whose} actions lie beyond the environment's limits"
    return Clue("saturation", FACT, ramp(share, 0.02, 0.15), text)


def _outside(action: Array, low: Array, high: Array) -> float:
    """Return the share of actions `[n, Da]` with a number clearly beyond the limits `[Da]`."""
    slack = 0.01 * np.nan_to_num(high - low, posinf=0.0)
    return float(((action < low - slack) | (action > high + slack)).any(1).mean())


def _at_edges(action: Array) -> Clue:
    """Say how often a dimension that takes many values stands at the edge of its range."""
    low = action.min(0)
    high = action.max(0)
    near = AT * (high - low)
    share = ((action <= low + near) | (action >= high - near)).mean(0)
    graded = np.array([len(np.unique(column)) > FEWEST_VALUES for column in action.T])
    share = np.where(graded, share, 0.0)
    worst = int(share.argmax())
    text = f"{100 * share[worst]:.0f} % of action[{worst}] stand at the edge of their range"
    return Clue("saturation", HINT, ramp(float(share[worst]), 0.4, 0.8), text)

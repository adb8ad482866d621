"""Do rollouts stay in the range that observations were normalised to, and do data fill it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..demonstrations import CONSTANT
from ..finding import CAUSE, FACT, HINT, Clue, ramp
from ..rollouts import fresh, observations

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: A dimension that spans less than this part of what rollouts show is nearly constant.
NEARLY_CONSTANT = 0.05
#: Fewer values than these are those of a switch: rare ones are no outliers.
FEWEST_VALUES = 6


def clues(case: Case) -> Sequence[Clue]:
    """Look for outliers in the data, and for rollouts outside the data's range."""
    return [*_outliers(case), *_outside(case)]


def _outliers(case: Case) -> list[Clue]:
    found = []
    demonstrations = case.demonstrations
    names = [f"action[{i}]" for i in range(demonstrations.action.shape[1])]
    columns = (
        (demonstrations.action, names, CAUSE),
        (demonstrations.obs, demonstrations.names, HINT),
    )
    for values, labels, kind in columns:
        sliver = _sliver(values)
        worst = int(sliver.argmin())
        text = f"the central 99 % of {labels[worst]} fill {100 * sliver[worst]:.0f} % of its range"
        found.append(Clue("outliers", kind, ramp(float(sliver[worst]), 0.25, 0.05), text))
    return found


def _sliver(values: Array) -> Array:
    """Return the part `[D]` of each dimension's range that its central 99 % fill."""
    low, high = np.quantile(values, [0.005, 0.995], axis=0)
    width = values.max(0) - values.min(0)
    varied = np.array([len(np.unique(column)) > FEWEST_VALUES for column in values.T])
    fits = width > CONSTANT * np.abs(values).max(0)
    return np.where(varied & fits, (high - low) / np.maximum(width, 1e-300), 1.0)


def _outside(case: Case) -> list[Clue]:
    episodes = case.once(fresh)
    if not episodes:
        return []
    shown = np.concatenate([observations(case, e) for e in episodes])
    data = case.demonstrations.obs
    low = data.min(0)
    high = data.max(0)
    width = high - low
    size = np.maximum(np.abs(low), np.abs(high))
    constant = width <= 1e-4 * size
    beyond = np.maximum(np.maximum(low - shown, shown - high), 0)
    span = shown.max(0) - shown.min(0)
    # A constant dimension is ignored by the normaliser: it reads as its centre whatever comes.
    ratio = np.where(constant, 0.0, beyond / np.maximum(width, 1e-300))
    return [_blown_up(case, ratio, width, span), _unseen(case, ratio, width, span)]


def _blown_up(case: Case, ratio: Array, width: Array, span: Array) -> Clue:
    """Say whether a dimension that hardly varies in the data is far outside in rollouts."""
    tiny = width < NEARLY_CONSTANT * span
    typical = np.where(tiny, np.quantile(ratio, 0.75, axis=0), 0.0)
    worst = int(typical.argmax())
    name = case.demonstrations.names[worst]
    if typical[worst] > 0:
        case.facts["key"] = name.partition("[")[0]
    text = (
        f"{name} hardly varies in the demonstrations; in rollouts it lies {typical[worst]:.0f} "
        "times its range outside"
    )
    return Clue("constant_dimension", FACT, ramp(float(typical[worst]), 1.0, 5.0), text)


def _unseen(case: Case, ratio: Array, width: Array, span: Array) -> Clue:
    """Say how often rollouts show what lies clearly outside the data's range."""
    varied = width >= NEARLY_CONSTANT * span
    share = np.where(varied, (ratio > 0.25).mean(0), 0.0)
    worst = int(share.argmax())
    text = (
        f"{case.demonstrations.names[worst]} lies outside its range in the data in "
        f"{100 * share[worst]:.0f} % of the rollouts' steps"
    )
    return Clue("outside_range", HINT, ramp(float(share[worst]), 0.02, 0.3), text)

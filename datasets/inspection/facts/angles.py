"""Angles that wrap: a turn of 2 pi or 360 between two steps where nothing turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: One turn, in the units that people use.
PERIODS = (2 * np.pi, 360.0)


def wrap_period(values: NDArray[np.float64], ends: NDArray[np.int64]) -> float:
    """Return the period of a column [N] that wraps within episodes, or 0.

    It wraps if all values lie within one turn, some steps are most of a turn, and these become
    ordinary steps when the turn is taken off. Steps of every size (noise) are no angle.
    """
    if len(values) < 3 or not np.isfinite(values).all():
        return 0.0
    spread = float(values.max() - values.min())
    steps = np.diff(values)
    within = np.ones(len(steps), dtype=np.bool_)
    within[ends[:-1] - 1] = False
    sizes = np.abs(steps[within])
    return next((period for period in PERIODS if _wraps(sizes, spread, period)), 0.0)


def _wraps(sizes: NDArray[np.float64], spread: float, period: float) -> bool:
    if not 0.75 * period < spread <= 1.01 * period:
        return False
    turns = sizes > 0.75 * period
    ordinary = sizes[~turns]
    if not turns.any() or not len(ordinary) or len(ordinary) < len(sizes) / 2:
        return False
    left = np.abs(sizes[turns] - period)
    return bool(np.quantile(ordinary, 0.99) < period / 4 and left.max() <= period / 4)

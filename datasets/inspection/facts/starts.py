"""How the initial states of the episodes cover the space: an evaluation starts where they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .neighbours import nearest
from .sample import Numbers, Sample

MAX_EPISODES = 2000
# Starts are the same when no column differs by more than this part of its spread over all steps.
SAME = 0.05


@dataclass(frozen=True)
class Starts:
    """The first observations of the episodes.

    Attributes:
        n: How many.
        distinct: How many are left when those that are the same count once.
        varied: Columns that differ between them.
        spacing: Median distance of a start to the nearest other, over that of two at random. Near
            0 every start has a twin; near 1 none has a neighbour.
    """

    n: int
    distinct: int
    varied: int
    spacing: float


def find_starts(sample: Sample) -> Starts | None:
    """Measure how the first observations are spread; None where there is nothing to compare."""
    chosen = np.linspace(0, len(sample.ends) - 1, min(len(sample.ends), MAX_EPISODES))
    first = sample.scaled_obs[sample.begins[chosen.round().astype(np.int64)]]
    if len(first) < 2 or not first.shape[1]:
        return None
    names = np.arange(len(first))
    _, squares = nearest(first, first, 1, query_groups=names, point_groups=names)
    apart = float(2 * first.var(0).sum())
    return Starts(
        n=len(first),
        distinct=_distinct(first),
        varied=int((np.ptp(first, axis=0) > SAME).sum()),
        spacing=float(np.sqrt(np.median(squares) / apart)) if apart else 0.0,
    )


def _distinct(states: Numbers) -> int:
    """Return how many of states [n, D] differ from all that were counted before them."""
    kept = np.zeros_like(states)
    count = 0
    for state in states:
        if not count or np.abs(kept[:count] - state).max(1).min() > SAME:
            kept[count] = state
            count += 1
    return count

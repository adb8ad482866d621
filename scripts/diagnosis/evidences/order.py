"""Are the entries of the environment's observation in the order of the data?

First observations are compared, dimension by dimension: those of the demonstrations with those of
the environment, on the same seeds where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..finding import CAUSE, FACT, Clue, ramp
from ..rollouts import environment, fresh, observations

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: Seeds that are compared, and more dimensions than these are not.
N_SEEDS = 12
MOST_DIMENSIONS = 64


def clues(case: Case) -> Sequence[Clue]:
    """Say whether another order of the entries fits the demonstrations far better."""
    if case.demonstrations.obs.shape[1] > MOST_DIMENSIONS:
        return []
    same = _same_seeds(case)
    cost = _distances(case) if same is None else same
    as_it_is = float(np.diag(cost).mean())
    order = _best_order(cost)
    changed = [int(i) for i in np.flatnonzero(order != np.arange(len(order)))]
    if not changed:
        return []
    reordered = float(cost[np.arange(len(order)), order].mean())
    gain = 1 - reordered / max(as_it_is, 1e-12)
    names = case.demonstrations.names
    pairs = ", ".join(f"{names[i]} as {names[order[i]]}" for i in changed[:4])
    text = (
        f"starts of the environment lie {as_it_is:.2f} spreads from the demonstrations'; read in "
        f"another order, {reordered:.2f} ({pairs})"
    )
    far = ramp(float(np.max(np.diag(cost)[changed])), 0.2, 0.6)
    kind = CAUSE if same is None else FACT
    return [Clue("observation_order", kind, far * ramp(gain, 0.5, 0.8), text)]


def _same_seeds(case: Case) -> Array | None:
    """Return mean distances `[Do, Do]` of entries of the data and of the env on the same seeds."""
    demonstrations = case.demonstrations
    known = np.flatnonzero(demonstrations.seeds >= 0)[:N_SEEDS]
    if len(known) < 3:
        return None
    from ..rollouts import replay

    with environment(case) as env:
        nothing = np.zeros((0, demonstrations.action.shape[1]))
        shown = [replay(case, env, int(demonstrations.seeds[i]), nothing).obs[0] for i in known]
    recorded = demonstrations.starts[known] / demonstrations.spread()
    there = np.stack(shown) / demonstrations.spread()
    # In the spread of the data's dimension, whichever entry of the env is read as it.
    scaled = there[:, None, :] * demonstrations.spread() / demonstrations.spread()[:, None]
    return np.asarray(np.abs(recorded[:, :, None] - scaled).mean(0))


def _distances(case: Case) -> Array:
    """Return distances `[Do, Do]` of the entries' distributions over starts (Wasserstein 1)."""
    unit = case.demonstrations.spread()
    levels = np.linspace(0, 1, 21)
    recorded = np.quantile(case.demonstrations.starts, levels, axis=0)
    there = np.quantile(
        np.stack([observations(case, e)[0] for e in case.once(fresh)]), levels, axis=0
    )
    return np.asarray(np.abs(recorded[:, :, None] - there[:, None, :]).mean(0) / unit[:, None])


def _best_order(cost: Array) -> NDArray[np.int64]:
    """Return the entry of the env that each dimension of the data is nearest to, each once.

    Greedy: an entry that fits where it stands stays, then the best pairs are taken in turn.
    """
    order = np.full(len(cost), -1)
    free = np.array(cost)
    stays = np.diag(cost) <= np.maximum(0.1, 1.5 * cost.min(1))
    for index in np.flatnonzero(stays):
        order[index] = index
        free[index] = np.inf
        free[:, index] = np.inf
    while (order < 0).any():
        row, column = np.unravel_index(int(free.argmin()), free.shape)
        order[row] = column
        free[row] = np.inf
        free[:, column] = np.inf
    return order

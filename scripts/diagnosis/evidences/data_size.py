"""Are there enough demonstrations? Their number, and whether more of them told more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..demonstrations import spread_of
from ..finding import CAUSE, HINT, Clue, ramp
from ..regression import neighbours, thinned
from ..rollouts import fresh, observations

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

MOST = 3000
#: Episodes from which on their number alone is no worry, and at which it is a grave one.
ENOUGH = 25
FEW = 6


def clues(case: Case) -> Sequence[Clue]:
    """Count episodes, look how fast neighbours' errors fall, and how fresh starts are covered."""
    return [_count(case), *_curve(case), *_coverage(case)]


def _count(case: Case) -> Clue:
    n = case.demonstrations.n_episodes if case.loaders is None else len(case.loaders.train_episodes)
    effect = ramp(np.log(n), np.log(ENOUGH), np.log(FEW))
    return Clue("too_little_data", CAUSE, effect, f"there are {n} training episodes")


def _curve(case: Case) -> list[Clue]:
    """Say how much less neighbours err with all episodes than with half of them."""
    demonstrations = case.demonstrations
    if demonstrations.n_episodes < 8:
        return []
    rows = thinned(len(demonstrations.obs), MOST)
    episode = demonstrations.episode_of[rows]
    scaled = demonstrations.obs[rows] / demonstrations.spread()
    action = demonstrations.action[rows] / spread_of(demonstrations.action)

    def error(part: NDArray[np.bool_]) -> float:
        found, _ = neighbours(
            scaled, scaled[part], query_group=episode, reference_group=episode[part]
        )
        return float(np.square(action - action[part][found].mean(1)).mean())

    half = np.mean([error(episode % 2 == parity) for parity in (0, 1)])
    fall = 1 - error(np.ones(len(rows), bool)) / max(float(half), 1e-12)
    text = f"twice as many episodes lower the error of neighbouring actions by {100 * fall:.0f} %"
    few = ramp(np.log(demonstrations.n_episodes), np.log(200), np.log(20))
    return [Clue("too_little_data", HINT, 0.6 * few * ramp(fall, 0.15, 0.4), text)]


def _coverage(case: Case) -> list[Clue]:
    """Say how far fresh starts lie from those of the demonstrations, beside these themselves."""
    episodes = case.once(fresh)
    starts = case.demonstrations.starts
    if not episodes or len(starts) < 2:
        return []
    scale = case.demonstrations.spread()
    firsts = np.stack([observations(case, e)[0] for e in episodes]) / scale
    starts = starts / scale
    number = np.arange(len(starts))
    _, among = neighbours(starts, starts, query_group=number, reference_group=number, k=1)
    _, away = neighbours(firsts, starts, k=1)
    # One far dimension would be another fault: of the observations, not of their number.
    ratio = float(np.median(away)) / max(float(np.median(among)), 1e-9)
    text = f"fresh starts lie {ratio:.1f} times as far from the demonstrations' as these do"
    return [Clue("too_little_data", HINT, 0.5 * ramp(ratio, 1.5, 3.0), text)]

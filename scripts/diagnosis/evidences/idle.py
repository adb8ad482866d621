"""Do demonstrators pause, and do rollouts come to rest?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..finding import CAUSE, HINT, Clue, ramp
from ..rollouts import fresh, observations

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: A step below this part of the usual one is none.
STILL = 0.05


def clues(case: Case) -> Sequence[Clue]:
    """Measure the still parts of demonstrations, and of the rollouts that fail."""
    demonstrations = case.demonstrations
    scale = demonstrations.spread()
    paths = [demonstrations.obs[rows] / scale for rows in demonstrations.rows()]
    usual = _usual_step(paths)
    least = case.policy.n_action_steps
    paused = float(np.mean([_still(path, usual, least) for path in paths]))
    said = f"demonstrators stand still for {100 * paused:.0f} % of the time"
    failed = [observations(case, e) / scale for e in case.once(fresh) if not e.success]
    if not failed:
        return [Clue("idle", HINT, 0.6 * ramp(paused, 0.1, 0.5), said)]

    stuck = float(np.mean([_still(path, usual, least) for path in failed]))
    text = f"failing rollouts stand still for {100 * stuck:.0f} % of the time"
    both = ramp(stuck, 0.3, 0.7)
    return [
        Clue("idle", CAUSE, both * ramp(paused, 0.08, 0.3), f"{said}; {text}"),
        Clue("stuck", HINT, 0.7 * both * (1 - ramp(paused, 0.08, 0.3)), text),
    ]


def _usual_step(paths: Sequence[Array]) -> float:
    steps = np.concatenate([np.linalg.norm(np.diff(path, axis=0), axis=1) for path in paths])
    moving = steps[steps > 0]
    return float(np.median(moving)) if len(moving) else 0.0


def _still(path: Array, usual: float, least: int) -> float:
    """Return the part of a path `[T, Do]` that lies in still stretches of at least some steps."""
    still = np.linalg.norm(np.diff(path, axis=0), axis=1) < STILL * usual
    if not len(still):
        return 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= least].sum() / len(still))

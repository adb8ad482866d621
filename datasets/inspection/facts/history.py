"""What the observations say of the actions: with how much history, and how far ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .meaning import ActionMeaning, present_action
from .modes import windows
from .regression import squared_errors
from .sample import Numbers, Sample, scaled

MAX_ROWS = 3000
HISTORIES = (1, 2, 4)
AHEAD = (0, 1, 2, 4, 8, 16, 32)
# A longer history must take this part of the error away, this part of the action's variance, and
# more than chance does.
WORTHWHILE = 0.1
NOTICEABLE = 0.02
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class History:
    """How well the present and past observations predict the action, on episodes not fitted.

    Attributes:
        unexplained: To -> share of the action's variance (as a displacement) that is left.
        best: The shortest history that no longer one betters by `WORTHWHILE` and beyond chance.
        ahead: Steps ahead -> share of the motion's variance that the best history explains.
        reach: Steps ahead up to which that is at least half of what it is for the present step.
    """

    unexplained: Mapping[int, float]
    best: int
    ahead: Mapping[int, float]
    reach: int


def find_history(sample: Sample, meaning: ActionMeaning) -> History | None:
    """Predict the action from histories of several lengths; None where nothing can be held out."""
    target = scaled(sample.action - present_action(sample, meaning))
    if len(sample.ends) < 2 or not sample.directions.shape[1] or not target.shape[1]:
        return None

    rows = sample.anchors(MAX_ROWS)
    groups = sample.episode_of[rows]
    longest = int(np.diff(sample.ends, prepend=0).max())
    tried = [history for history in HISTORIES if history <= longest]
    errors = {
        history: squared_errors(windows(sample, history)[rows], target[rows], groups)
        for history in tried
    }
    variance = float(target[rows].var(0).sum()) or 1.0
    left = {history: float(each.sum(1).mean()) / variance for history, each in errors.items()}
    best = _shortest({k: each.sum(1) / variance for k, each in errors.items()}, groups)

    ahead = _ahead(sample, meaning, rows, best)
    floor = 0.5 * ahead[0]
    enough = [steps for steps in ahead if all(ahead[s] >= floor for s in ahead if s <= steps)]
    return History(unexplained=left, best=best, ahead=ahead, reach=max(enough) if floor > 0 else 0)


def motion(sample: Sample, meaning: ActionMeaning) -> Numbers:
    """Return [N, Da], what each action adds: relative ones themselves, changes of the others."""
    change = sample.action - sample.action[sample.shifted(-1)]
    relative = np.array([meaning.of(i) == "relative" for i in range(sample.action.shape[1])])
    return np.where(relative, sample.action, change)


def motion_steps(sample: Sample, meaning: ActionMeaning, most: int = 64) -> int:
    """Return after how many steps the motion's autocorrelation is below 1/e; `most` if never."""
    moves = scaled(motion(sample, meaning))
    power = float((moves**2).mean()) if moves.size else 0.0
    if power == 0:
        return most
    for lag in range(1, most):
        later = sample.shifted(lag)
        inside = later == np.arange(len(sample)) + lag
        if not inside.any():
            return lag
        if float((moves[inside] * moves[later[inside]]).mean()) < power / np.e:
            return lag
    return most


def _shortest(errors: Mapping[int, Numbers], groups: NDArray[np.int64]) -> int:
    """Return the shortest history that no longer one betters, by errors [n] in variances."""
    histories = sorted(errors)
    counts = np.bincount(groups)
    for history in histories:
        own = errors[history]
        better = False
        for longer in histories[histories.index(history) + 1 :]:
            gain = own - errors[longer]
            per_episode = np.bincount(groups, gain)[counts > 0] / counts[counts > 0]
            noise = per_episode.std(ddof=1) / np.sqrt(len(per_episode))
            sure = per_episode.mean() > STANDARD_ERRORS * noise
            least = max(WORTHWHILE * float(own.mean()), NOTICEABLE)
            better |= bool(gain.mean() > least and sure)
        if not better:
            return history
    return histories[-1]


def _ahead(
    sample: Sample, meaning: ActionMeaning, rows: NDArray[np.int64], history: int
) -> dict[int, float]:
    """Return steps ahead -> explained share of the motion then."""
    moves = scaled(motion(sample, meaning))
    if not moves.shape[1]:
        return {0: 0.0}
    last = sample.ends[sample.episode_of[rows]] - 1
    explained: dict[int, float] = {}
    seen = windows(sample, history)
    for steps in AHEAD:
        inside = rows[rows + steps <= last]
        groups = sample.episode_of[inside]
        if len(inside) < 32 or len(np.unique(groups)) < 2:
            break
        future = moves[inside + steps]
        error = float(squared_errors(seen[inside], future, groups).sum(1).mean())
        variance = float(future.var(0).sum())
        explained[steps] = max(0.0, 1 - error / variance) if variance else 0.0
    return explained or {0: 0.0}

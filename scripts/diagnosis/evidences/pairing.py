"""Do observations follow from actions, at once, and within episodes?

How an observation changes is regressed on the observation and on the actions up to it. An action
must matter (more than the action of another episode), and the one at the same step must be among
those that do; else the two are shuffled, or shifted in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..demonstrations import Demonstrations, flattened, spread_of
from ..finding import CAUSE, FACT, HINT, Clue, ramp
from ..regression import explained, left_out_residuals
from ..rollouts import fresh

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: Actions that are looked at, counted from the step whose change is explained. Later ones are
#: answers to the change: they tell it, though they did not make it.
LAGS = (-3, -2, -1, 0)
#: Part of the largest share that an action explains, and the share, below which it is nothing.
NOTHING = (0.02, 0.003)
#: Fewer steps than these say nothing.
FEWEST = 150
#: A step as large as this part of the distance of random observations is a jump.
JUMP = 0.5


@dataclass(frozen=True)
class Profile:
    """How the actions up to a step explain the change of the observation.

    Attributes:
        gain: part of the change, as far as the observation does not tell it, that all of these
            actions explain together, in the dimension where it is largest.
        chance: the same with the actions of other episodes.
        by_lag: part that is lost when the action of one lag is left out, by `LAGS`.
    """

    gain: float
    chance: float
    by_lag: dict[int, float]

    @property
    def peak(self) -> int:
        """The lag of the latest action that matters."""
        most = max(self.by_lag.values())
        least = max(NOTHING[0] * most, NOTHING[1])
        return max((lag for lag, part in self.by_lag.items() if part > least), default=0)


def clues(case: Case) -> Sequence[Clue]:
    """Look at the demonstrations, and compare with what the environment shows."""
    found = [_joins(case.demonstrations)]
    profile = case.once(of_data)
    if profile is not None:
        found += [_unrelated(profile), _shifted(profile, case.once(of_rollouts))]
    return found


def of_data(case: Case) -> Profile | None:
    """Return the profile of the demonstrations; None where there are too few steps."""
    demonstrations = case.demonstrations
    return _profile(demonstrations.obs, demonstrations.action, demonstrations.ends)


def of_rollouts(case: Case) -> Profile | None:
    """Return the profile of the policy's own rollouts; None without an environment."""
    episodes = [e for e in case.once(fresh) if e.obs is not None and e.action is not None]
    if not episodes:
        return None
    obs = np.concatenate([flattened(e.obs or {}, case.keys) for e in episodes])
    action = np.concatenate([np.asarray(e.action, np.float64) for e in episodes])
    return _profile(obs, action, np.cumsum([e.length for e in episodes]))


def _unrelated(profile: Profile) -> Clue:
    """Say whether actions explain no more than those of other episodes do."""
    lead = profile.gain - max(profile.chance, 0.0)
    text = (
        f"the actions explain {100 * max(profile.gain, 0):.0f} % of how the observations change; "
        f"those of other episodes explain {100 * max(profile.chance, 0):.0f} %"
    )
    return Clue("pairing", FACT, ramp(lead, 0.1, 0.02), text)


def _shifted(profile: Profile, seen: Profile | None) -> Clue:
    """Say whether the latest action that matters is one of an earlier step."""
    lag = profile.peak
    text = (
        f"the change after a step follows from the action of {abs(lag)} steps before, not from "
        "that step's own"
    )
    if lag == 0 or profile.gain - profile.chance < 0.1:
        return Clue("delay", HINT, 0.0, text)
    matters = ramp(profile.by_lag[lag], 0.01, 0.05)
    if seen is None or seen.gain < 0.3:
        return Clue("delay", CAUSE, matters, text)
    if seen.peak == lag:
        return Clue("delay", HINT, 0.5 * matters, f"{text}; so it does in the environment")
    return Clue("delay", FACT, matters, f"{text}; in the environment it is {abs(seen.peak)} steps")


def _joins(demonstrations: Demonstrations) -> Clue:
    """Say whether episodes jump inside as observations of different episodes differ."""
    scaled = demonstrations.obs / demonstrations.spread()
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(scaled), (512, 2))
    random = float(np.median(np.linalg.norm(scaled[pairs[:, 0]] - scaled[pairs[:, 1]], axis=1)))
    jumping = 0
    for rows in demonstrations.rows():
        steps = np.linalg.norm(np.diff(scaled[rows], axis=0), axis=1)
        usual = float(np.quantile(steps, 0.9)) if len(steps) else 0.0
        jumping += bool((steps > max(JUMP * random, 8 * usual)).any()) if usual else 0
    share = jumping / max(1, demonstrations.n_episodes)
    text = f"{100 * share:.0f} % of the episodes jump inside as one episode to the next"
    return Clue("episode_ends", CAUSE, ramp(share, 0.05, 0.3), text)


def _profile(obs: Array, action: Array, ends: NDArray[np.int64]) -> Profile | None:
    changes, before, around, episode = _steps(obs, action, ends)
    if len(changes) < FEWEST or len(ends) < 3:
        return None
    without = left_out_residuals(before, changes, episode)
    moving = np.square(without).mean(0) > 1e-8
    if not moving.any():
        return None
    changes, without = changes[:, moving], without[:, moving]

    def residuals(lags: Sequence[int], actions: Array = around) -> Array:
        chosen = [actions[:, LAGS.index(lag)] for lag in lags]
        return left_out_residuals(np.concatenate([before, *chosen], 1), changes, episode)

    everything = residuals(LAGS)
    gains = explained(without, everything)
    others = explained(without, residuals(LAGS, _of_others(around, episode)))
    best = int(gains.argmax())
    by_lag = {}
    for lag in LAGS:
        rest = residuals([other for other in LAGS if other != lag])
        lost = np.square(rest).sum(0) - np.square(everything).sum(0)
        by_lag[lag] = float((lost / np.square(without).sum(0)).max())
    return Profile(float(gains[best]), float(others.max()), by_lag)


def _steps(
    obs: Array, action: Array, ends: NDArray[np.int64]
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Return changes, observations, actions `[n, lags, Da]` and episodes of the inner steps."""
    scaled = (obs - obs.mean(0)) / spread_of(obs)
    acted = (action - action.mean(0)) / spread_of(action)
    begins = np.concatenate([[0], ends[:-1]])
    rows = [np.arange(begin - LAGS[0], end - 1) for begin, end in zip(begins, ends, strict=True)]
    episode = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    inner = np.concatenate(rows) if rows else np.arange(0)
    around = np.stack([acted[inner + lag] for lag in LAGS], axis=1)
    return scaled[inner + 1] - scaled[inner], scaled[inner], around, episode


def _of_others(around: Array, episode: NDArray[np.int64]) -> Array:
    """Return the actions of another episode in place of each one's own, step by step."""
    count = int(episode.max()) + 1
    starts = np.searchsorted(episode, np.arange(count))
    lengths = np.bincount(episode, minlength=count)
    step = np.arange(len(episode)) - starts[episode]
    other = (episode + 1 + count // 3) % count
    lengths = np.maximum(lengths, 1)
    place = starts[other] + np.minimum(step, lengths[other] - 1)
    return np.asarray(around[np.minimum(place, len(around) - 1)])

"""Do successive plans of a rollout choose different ways?

Several plans are drawn for observations along rollouts. Where they fall in two groups the policy
sees two ways; where the plan of the next replanning belongs to the other group, it changes its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..demonstrations import spread_of
from ..finding import CAUSE, Clue, ramp
from ..regression import thinned
from ..rollouts import fresh

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: Plans drawn for an observation, and replannings that are looked at.
N_PLANS = 12
MOST = 160
BATCH = 64
#: Least distance of the two ways, in spreads of the action.
APART = 0.5


@dataclass(frozen=True)
class Switching:
    """What plans along trajectories do.

    Attributes:
        forked: share of the observations where plans fall in two groups.
        switched: share of the replannings whose plan goes over to the other group.
        n: replannings that were looked at.
    """

    forked: float
    switched: float
    n: int


def clues(case: Case) -> Sequence[Clue]:
    """Compare rollouts with demonstrations; without an environment these alone are looked at."""
    rolled = case.once(of_rollouts)
    shown = case.once(of_demonstrations)
    seen = rolled or shown
    if seen is None:
        return []
    where = "rollouts" if rolled is not None else "demonstrations"
    beside = "" if rolled is None or shown is None else f" (demonstrations: {shown.forked:.0%})"
    text = (
        f"plans fall in two groups at {seen.forked:.0%} of the observations of {where}{beside}, "
        f"and {seen.switched:.0%} of the replannings change the way"
    )
    # Over a rollout every change costs the steps taken before it.
    effect = ramp(seen.switched, 0.02, 0.1) * ramp(seen.forked, 0.03, 0.15)
    return [Clue("mode_switching", CAUSE, effect, text)]


def of_rollouts(case: Case) -> Switching | None:
    """Return what plans do along rollouts on fresh seeds; None without an environment."""
    episodes = [e.obs for e in case.once(fresh) if e.obs is not None]
    return _along(case, episodes) if episodes else None


def of_demonstrations(case: Case) -> Switching | None:
    """Return what plans do along demonstrations."""
    numbers = case.demonstrations.episodes[thinned(case.demonstrations.n_episodes, 24)]
    episodes = []
    for number in numbers:
        rows = case.buffer.bounds(int(number))
        episodes.append({key: case.buffer.read(key, *rows) for key in case.keys})
    return _along(case, episodes) if episodes else None


def _along(case: Case, episodes: Sequence[Any]) -> Switching | None:
    """Return what plans do at pairs of successive replannings of trajectories."""
    policy = case.policy
    stride = policy.n_action_steps
    pairs = [
        (number, step)
        for number, episode in enumerate(episodes)
        for step in range(0, len(episode[case.keys[0]]) - stride, stride)
    ]
    if not pairs:
        return None
    pairs = [pairs[i] for i in thinned(len(pairs), MOST)]
    now = _plans(case, episodes, pairs)
    then = _plans(case, episodes, [(number, step + stride) for number, step in pairs])
    first = policy.n_obs_steps - 1
    unit = spread_of(case.demonstrations.action)

    forked = 0
    switched = 0.0
    for before, after in zip(np.swapaxes(now, 0, 1), np.swapaxes(then, 0, 1), strict=True):
        # The steps that both plans have, the first to be executed by the second one first.
        left = before[:, first + stride :] / unit
        plan = after[:, first : first + left.shape[1]] / unit
        if left.shape[1] == 0:
            plan = after[:, first:] / unit
            forked += two_ways(plan) is not None
            continue
        group = two_ways(plan)
        if group is None:
            continue
        forked += 1
        switched += _change(left, plan, group)
    return Switching(forked / len(pairs), switched / len(pairs), len(pairs))


def _change(left: Array, plan: Array, group: NDArray[np.bool_]) -> float:
    """Return the chance that a plan belongs to another group than the rest of the one before."""
    centres = np.stack([plan[group].mean(0), plan[~group].mean(0)])
    distance = np.square(left[:, None] - centres).sum((2, 3))
    before = float((distance[:, 0] < distance[:, 1]).mean())
    after = float(group.mean())
    return before * (1 - after) + after * (1 - before)


def two_ways(plans: Array) -> NDArray[np.bool_] | None:
    """Return which plans `[K, steps, Da]`, in spreads, go the second of two ways; None if one.

    Two groups as of `plan_consistency`, that also lie far enough apart to matter.
    """
    from kinoise.policy.control.plan_consistency import two_groups

    group = two_groups(plans)
    if group is None:
        return None
    gap = plans[group].mean(0) - plans[~group].mean(0)
    return group if np.sqrt(np.square(gap).mean()) > APART else None


def _plans(case: Case, episodes: Sequence[Any], places: Sequence[tuple[int, int]]) -> Array:
    """Return plans `[N_PLANS, P, H, Da]` at (episode, step) places."""
    import torch

    policy = case.policy
    past = np.arange(1 - policy.n_obs_steps, 1)
    obs = {
        key: torch.from_numpy(
            np.stack([episodes[i][key][np.maximum(step + past, 0)] for i, step in places])
        )
        for key in case.keys
    }
    generator = torch.Generator().manual_seed(1)
    drawn = []
    for _ in range(N_PLANS):
        parts = [
            policy.sample({k: v[begin : begin + BATCH] for k, v in obs.items()}, generator)
            for begin in range(0, len(places), BATCH)
        ]
        drawn.append(torch.cat(parts).numpy(force=True).astype(np.float64))
    return np.stack(drawn)

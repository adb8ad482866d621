"""Demonstrations whose facts are known because we put them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kinoise.datasets.inspection.facts.sample import Sample

Numbers = NDArray[np.float64]
#: Observations [T, Do] and actions [T, Da] of one episode, from its number.
Episode = tuple[Numbers, Numbers]


def sample(episodes: Sequence[Episode]) -> Sample:
    """Return episodes as the facts see them."""
    obs = np.concatenate([each[0] for each in episodes])
    action = np.concatenate([each[1] for each in episodes])
    lengths = [len(each[1]) for each in episodes]
    return Sample(
        obs=obs,
        action=action,
        ends=np.cumsum(lengths),
        episodes=np.arange(len(episodes)),
        obs_labels=tuple(f"state[{i}]" for i in range(obs.shape[1])),
        action_labels=tuple(f"action[{i}]" for i in range(action.shape[1])),
        left_out=(),
    )


def reach(number: int, *, length: int = 40, relative: bool = False, side: float = 0.0) -> Episode:
    """Return a point that goes to the origin from somewhere else each time: nothing is wrong.

    Args:
        number: of the episode.
        length: steps.
        relative: whether the action is the step to take, else the place to be next.
        side: how far the point is pushed along its first axis at every step.
    """
    generator = np.random.default_rng(number)
    obs = np.zeros((length, 2))
    step = np.zeros((length, 2))
    place = generator.uniform(-1, 1, 2)
    for t in range(length):
        obs[t] = place
        step[t] = -0.08 * place + [side, 0.0]
        place = place + step[t]
    return obs, step if relative else obs + step


def many(make: Callable[[int], Episode], count: int = 40) -> Sample:
    """Return `count` episodes of a kind."""
    return sample([make(number) for number in range(count)])

"""Observations that a policy has not seen, made from ones that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Trajectory = Mapping[str, Array]

#: Standard deviation of sensor noise, in halves of a value's range.
NOISE = 0.3
#: Where a value outside its range lies: the range is [-1, 1].
OUTSIDE = 1.5


@dataclass(frozen=True)
class Scale:
    """Centre and half range of each vector among the observations."""

    centre: Mapping[str, Array]
    half_range: Mapping[str, Array]

    @classmethod
    def of(cls, episodes: Sequence[Trajectory]) -> Scale:
        """Return the ranges that these episodes span; pictures have none."""
        vectors = [key for key, values in episodes[0].items() if values.ndim < 4]
        low = {key: np.min([e[key].min(0) for e in episodes], 0) for key in vectors}
        high = {key: np.max([e[key].max(0) for e in episodes], 0) for key in vectors}
        return cls(
            {key: (low[key] + high[key]) / 2 for key in vectors},
            {key: (high[key] - low[key]) / 2 for key in vectors},
        )

    @property
    def keys(self) -> list[str]:
        return list(self.centre)


Corruption = Callable[[Sequence[Trajectory], Scale, np.random.Generator], list[Trajectory]]


def noisy(
    episodes: Sequence[Trajectory], scale: Scale, rng: np.random.Generator
) -> list[Trajectory]:
    """Add normal noise to every value."""

    def disturbed(key: str, values: Array) -> Array:
        if key not in scale.keys:
            return values
        noise = rng.normal(size=values.shape)
        return np.asarray(values + NOISE * scale.half_range[key] * noise, values.dtype)

    return [{key: disturbed(key, values) for key, values in e.items()} for e in episodes]


def outside(
    episodes: Sequence[Trajectory], scale: Scale, rng: np.random.Generator
) -> list[Trajectory]:
    """Put one number of one sensor outside the range it had in training, for a whole episode."""

    def moved(key: str, values: Array, _: int) -> Array:
        entry = rng.integers(scale.centre[key].size)
        beyond = scale.centre[key] + rng.choice([-OUTSIDE, OUTSIDE]) * scale.half_range[key]
        flat = values.reshape(len(values), -1).copy()
        flat[:, entry] = beyond.reshape(-1)[entry]
        return flat.reshape(values.shape)

    return _one_sensor(moved, episodes, scale, rng)


def dead(
    episodes: Sequence[Trajectory], scale: Scale, rng: np.random.Generator
) -> list[Trajectory]:
    """Let one sensor read zero."""
    return _one_sensor(lambda key, values, _: np.zeros_like(values), episodes, scale, rng)


def frozen(
    episodes: Sequence[Trajectory], scale: Scale, rng: np.random.Generator
) -> list[Trajectory]:
    """Let one sensor repeat its first reading."""

    def stuck(key: str, values: Array, _: int) -> Array:
        return np.broadcast_to(values[:1], values.shape)

    return _one_sensor(stuck, episodes, scale, rng)


def swapped(
    episodes: Sequence[Trajectory], scale: Scale, rng: np.random.Generator
) -> list[Trajectory]:
    """Let one sensor show the episode before: each reading possible, their combination not."""

    def foreign(key: str, values: Array, number: int) -> Array:
        other = episodes[number - 1][key]
        return np.asarray(other[np.minimum(np.arange(len(values)), len(other) - 1)])

    return _one_sensor(foreign, episodes, scale, rng)


#: name -> (corruption of whole trajectories, what it stands for)
CORRUPTIONS: dict[str, tuple[Corruption, str]] = {
    "outside": (outside, "one number lies outside its range"),
    "dead": (dead, "one sensor reads zero"),
    "noise": (noisy, "every sensor is noisy"),
    "frozen": (frozen, "one sensor repeats its first reading"),
    "swapped": (swapped, "one sensor shows another episode"),
}

#: Those whose readings never occurred; of the others each reading alone is a usual one.
UNSEEN = ("outside", "dead", "noise")


def _one_sensor(
    change: Callable[[str, Array, int], Array],
    episodes: Sequence[Trajectory],
    scale: Scale,
    rng: np.random.Generator,
) -> list[Trajectory]:
    """Apply `change(key, values [T, ...], episode number)` to a random sensor of each episode."""
    changed: list[Trajectory] = []
    for number, episode in enumerate(episodes):
        key = scale.keys[rng.integers(len(scale.keys))]
        changed.append({**episode, key: change(key, episode[key], number)})
    return changed

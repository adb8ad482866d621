"""Disturbances of executed actions, for demonstrations that hold recoveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STREAM = 0x9E3779B9
"""Keeps the disturbances' random numbers apart from the resets', which share the seed."""


@dataclass
class ActionPushes:
    """Adds a constant offset to the action now and then, for a few steps.

    A function of (episode seed, step) alone, so that it does not depend on how episodes are
    batched. Pushes that last take the robot off its course; the expert's answers, recorded in
    place of the disturbed actions, teach the way back.

    Attributes:
        scale: `[Da]` standard deviations of an offset, in the action's own units.
        rate: probability that a push begins at a step without one.
        duration: least and greatest number of steps of a push.
    """

    scale: Sequence[float]
    rate: float = 0.05
    duration: tuple[int, int] = (2, 4)
    _offsets: dict[int, Array] = field(default_factory=dict, init=False, repr=False)

    def __call__(
        self, actions: NDArray[Any], seeds: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return the actions `[n, Da]` to execute in place of `actions`."""
        offsets = [
            self._offset(int(seed), int(step)) for seed, step in zip(seeds, steps, strict=True)
        ]
        return np.asarray(actions + np.array(offsets), dtype=actions.dtype)

    def _offset(self, seed: int, step: int) -> Array:
        known = self._offsets.get(seed)
        if known is None or step >= len(known):
            n_steps = 256
            while n_steps <= step:
                n_steps *= 2
            known = self._offsets[seed] = self._draw(seed, n_steps)
        return np.asarray(known[step])

    def _draw(self, seed: int, n_steps: int) -> Array:
        """Return the offsets [n_steps, Da] of an episode; a longer draw begins with a shorter."""
        rng = np.random.default_rng((seed, _STREAM))
        offsets = np.zeros((n_steps, len(self.scale)))
        step = 0
        while step < n_steps:
            step += int(rng.geometric(self.rate))
            length = int(rng.integers(*self.duration, endpoint=True))
            offsets[step : step + length] = rng.normal(0.0, self.scale)
            step += length
        return offsets

"""The noise levels that a solver passes, in numbers, and what its loop begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...paths import Path
from ..tape import Recorder


@dataclass(frozen=True)
class Level:
    """One noise level of a path, in numbers.

    Attributes:
        t: the time.
        alpha: the factor of the data.
        sigma: the factor of the noise.
    """

    t: float
    alpha: float
    sigma: float

    def noise(self, x: Any, sample: Any) -> Any:
        """Return the noise in the state x, given its x_0."""
        return (x - self.alpha * sample) / self.sigma

    def state(self, sample: Any, noise: Any) -> Any:
        """Return the state that consists of this x_0 and this noise."""
        return self.alpha * sample + self.sigma * noise

    def ratio(self, after: Level) -> float:
        """Return exp(-h): how much of sigma / alpha is left at the level `after`."""
        return (after.sigma * self.alpha) / (after.alpha * self.sigma)


def levels(path: Path, times: Float[Tensor, "n"]) -> list[Level]:
    """Return the path's levels at times `[n]`; time 0 is data, whatever trace of noise is left."""
    alphas = torch.where(times == 0, 1.0, path.alpha(times))
    sigmas = torch.where(times == 0, 0.0, path.sigma(times))
    columns = (times.tolist(), alphas.tolist(), sigmas.tolist())
    return [Level(*row) for row in zip(*columns, strict=True)]


def each_step(path: Path, times: Float[Tensor, "n"]) -> Iterator[tuple[Level, Level]]:
    """Yield the levels before and after each step."""
    return pairwise(levels(path, times))


def begin(tape: Recorder, path: Path, times: Float[Tensor, "n"]) -> Any:
    """Return the state at the first time: noise alone."""
    return float(path.sigma(times[0])) * tape.start()


def rates(path: Path, times: Float[Tensor, "n"]) -> tuple[list[float], list[float]]:
    """Return d alpha / dt and d sigma / dt, or their means over a step where they are infinite."""
    found = []
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        mean = value(times).diff() / times.diff()
        exact = rate(times)[:-1]
        found.append(torch.where(exact.isfinite(), exact, mean).tolist())
    return found[0], found[1]

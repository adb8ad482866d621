"""Where a sampler evaluates the network: `grid(n, path)` -> n decreasing times in (0, 1], float64.

Every grid is explicit: none is left to a scheduler's spacing rule. The final time 0 is implied.
Grids of noise levels keep within those that the path has.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from ..errors import PolicyError
from ..paths import Path, shifted


class Grid(ABC):
    """Places n evaluation times on a path."""

    @abstractmethod
    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        """Return n decreasing times in (0, 1]."""


def _remaining(n: int) -> Float64[Tensor, "{n}"]:
    """Return 1, (n - 1) / n, ..., 1 / n."""
    return 1 - torch.arange(n, dtype=torch.float64) / n


@dataclass(frozen=True)
class UniformTime(Grid):
    """Equal steps of the path's own time from `start` down to 0."""

    start: float = 1.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        return self.start * _remaining(n)


@dataclass(frozen=True)
class Polynomial(Grid):
    """A power of equally spaced times: steps shrink towards the data where it is above 1."""

    power: float = 2.0
    start: float = 1.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        return self.start * _remaining(n) ** self.power


@dataclass(frozen=True)
class Cosine(Grid):
    """Times bent by a cosine, the "sway" of F5-TTS (Chen et al. 2024b).

    With u the part of the way from noise that equal steps would have gone, the part gone is
    u + sway (cos(pi u / 2) - 1 + u). At -1 it is 1 - cos(pi u / 2), steps that grow towards the
    data; at 0 they are equal; at most 2 / (pi - 2), about 1.75.
    """

    sway: float = -1.0
    start: float = 1.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        u = 1 - _remaining(n)
        return self.start * (1 - u - self.sway * (torch.cos(math.pi / 2 * u) - 1 + u))


@dataclass(frozen=True)
class Karras(Grid):
    """Equal steps of (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)."""

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    rho: float = 7.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        low, high = _within(path, self.sigma_min, self.sigma_max)
        first = high ** (1 / self.rho)
        last = low ** (1 / self.rho)
        ramp = torch.linspace(first, last, n, dtype=torch.float64)
        return _times(path, ramp**self.rho)


@dataclass(frozen=True)
class UniformLogSNR(Grid):
    """Equal steps of log(alpha / sigma) (Lu et al. 2022a, section 3.3)."""

    sigma_min: float = 0.02
    sigma_max: float = 80.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        low, high = _within(path, self.sigma_min, self.sigma_max)
        ramp = torch.linspace(math.log(high), math.log(low), n, dtype=torch.float64)
        return _times(path, ramp.exp())


@dataclass(frozen=True)
class Shifted(Grid):
    """Another grid with every sigma / alpha multiplied by `shift` (Esser et al. 2024, eq. 23)."""

    base: Grid
    shift: float = 2.0

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        return shifted(self.base(n, path), self.shift, path)


@dataclass(frozen=True)
class Explicit(Grid):
    """Times of one's own, e.g. from `grid_search`."""

    times: Sequence[float]

    def __call__(self, n: int, path: Path) -> Float64[Tensor, "{n}"]:
        if n != len(self.times):
            raise PolicyError(f"the explicit grid has {len(self.times)} times, n_steps is {n}")
        return torch.tensor(list(self.times), dtype=torch.float64)


def _within(path: Path, sigma_min: float, sigma_max: float) -> tuple[float, float]:
    """Return the bounds on sigma / alpha, held to what lies between the path's ends."""
    ends = path.angle(torch.tensor([0.0, 1.0], dtype=torch.float64)).tan().tolist()
    return max(sigma_min, 2 * ends[0]), min(sigma_max, ends[1])


def _times(path: Path, ratios: Float64[Tensor, "n"]) -> Float64[Tensor, "n"]:
    """Return the times at which sigma / alpha is `ratios`."""
    return path.time_at(torch.atan(ratios)).clamp(max=1)

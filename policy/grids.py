"""Where a sampler evaluates the network: `grid(n, path)` -> n decreasing times in (0, 1], float64.

Every grid is explicit: none is left to a scheduler's spacing rule. The final time 0 is implied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .paths import Path


class Grid(Protocol):
    """Places n evaluation times on a path."""

    def __call__(self, n: int, path: Path) -> Tensor:
        """Return n decreasing times `[n]` in (0, 1], float64."""


@dataclass(frozen=True)
class UniformTime:
    """Equal steps of the path's own time from `start` down to 0."""

    start: float = 1.0

    def __call__(self, n: int, path: Path) -> Tensor:
        return self.start * (1 - torch.arange(n, dtype=torch.float64) / n)


@dataclass(frozen=True)
class Karras:
    """Equal steps of (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)."""

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    rho: float = 7.0

    def __call__(self, n: int, path: Path) -> Tensor:
        ramp = torch.linspace(0, 1, n, dtype=torch.float64)
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return path.time_at(torch.atan((high + ramp * (low - high)) ** self.rho))


@dataclass(frozen=True)
class UniformLogSNR:
    """Equal steps of log(alpha / sigma) (Lu et al. 2022, section 3.3)."""

    sigma_min: float = 0.02
    sigma_max: float = 80.0

    def __call__(self, n: int, path: Path) -> Tensor:
        ramp = torch.linspace(math.log(self.sigma_max), math.log(self.sigma_min), n).double()
        return path.time_at(torch.atan(ramp.exp()))

"""Distributions of the training time: `sample(batch, horizon, generator)` -> `[B]` or `[B, H]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class TimeDistribution(Protocol):
    """Draws training times in [0, 1]; one a chunk `[B]`, or one a token `[B, H]`."""

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        """Return times of shape `[B]` or `[B, H]`."""


@dataclass(frozen=True)
class Uniform:
    """t uniform in [0, 1], stratified over the batch (Kingma et al. 2021, appendix I.1)."""

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        # One draw in each of B equal strata, in random order: the same marginal, less variance.
        strata = torch.randperm(batch, generator=generator)
        return (strata + torch.rand(batch, generator=generator)) / batch


@dataclass(frozen=True)
class LogitNormal:
    """logit(t) normal (Esser et al. 2024, eq. 19)."""

    mean: float = 0.0
    std: float = 1.0

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.randn(batch, generator=generator))


@dataclass(frozen=True)
class Power:
    """t = u^(1 / exponent), which is Beta(exponent, 1): more noise for exponent > 1."""

    exponent: float = 1.5

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(batch, generator=generator) ** (1 / self.exponent)


@dataclass(frozen=True)
class PerToken:
    """An own, independent time for every token (Chen et al. 2024, diffusion forcing)."""

    base: TimeDistribution

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        return self.base.sample(batch * horizon, 1, generator).reshape(batch, horizon)

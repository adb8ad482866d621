"""Variance-exploding paths: alpha = 1 and a sigma that grows far beyond the data."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .path import SIGMA_DATA, Path


class VarianceExploding(Path):
    """A path with alpha = 1, given by sigma(t)."""

    @abstractmethod
    def time_at_sigma(self, sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the time of a noise level, in [0, 1]."""

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.ones_like(t)

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.zeros_like(t)

    def input_scale(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (self.sigma(t) ** 2 + SIGMA_DATA**2).rsqrt()

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.time_at_sigma(angle.tan().clamp(max=1e15)).clamp(0, 1)


@dataclass(frozen=True)
class VEGeometric(VarianceExploding):
    """The kernel of the VE SDE: sigma^2 = sigma_min^2 (ratio^(2 t) - 1) (Song et al. 2021, eq. 31).

    NCSN's geometric noise levels (Song & Ermon 2019) in continuous time. The published code leaves
    out the -1, the variance at t = 0; with it data are data at t = 0.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.sigma_min * torch.expm1(2 * t * self._log_ratio).sqrt()

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        growth = torch.exp(2 * t * self._log_ratio) * self._log_ratio
        return self.sigma_min**2 * growth / self.sigma(t)

    def time_at_sigma(self, sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.log1p((sigma / self.sigma_min) ** 2) / (2 * self._log_ratio)


@dataclass(frozen=True)
class EDM(VarianceExploding):
    """sigma = sigma_max t^rho: equal steps of t are Karras steps (Karras et al. 2022, eq. 5).

    Args:
        sigma_min: the least noise of training; sampling ends at none.
        sigma_max: the noise at t = 1.
        rho: how much denser the steps are at low noise.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    @property
    def earliest(self) -> float:  # type: ignore[override]
        return float((self.sigma_min / self.sigma_max) ** (1 / self.rho))

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.sigma_max * t**self.rho

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.sigma_max * self.rho * t ** (self.rho - 1)

    def time_at_sigma(self, sigma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (sigma / self.sigma_max) ** (1 / self.rho)

"""Variance-preserving paths: alpha^2 + sigma^2 = 1, and the sub-VP path of the same alpha."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .path import Path


class VariancePreserving(Path):
    """A path with alpha^2 + sigma^2 = 1, given by log alpha(t)."""

    @abstractmethod
    def log_alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return log alpha(t)."""

    @abstractmethod
    def log_alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return d log alpha / d t."""

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.log_alpha(t).exp()

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (-torch.expm1(2 * self.log_alpha(t))).clamp(min=0).sqrt()

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.alpha(t) * self.log_alpha_rate(t)

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # alpha^2 + sigma^2 = 1 gives sigma sigma' = -alpha alpha'; it diverges at t = 0.
        return -self.alpha(t) * self.alpha_rate(t) / self.sigma(t)


@dataclass(frozen=True)
class VPLinear(VariancePreserving):
    """Variance preserving with a linear beta(t) (Ho et al. 2020; Song et al. 2021, eq. 33)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def log_alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def log_alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -0.5 * (self.beta_min + t * (self.beta_max - self.beta_min))

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.time_at_depth(-torch.log(angle.cos().clamp(min=1e-30)))

    def time_at_depth(self, depth: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the time at which log alpha is -depth."""
        # The positive root of slope/4 t^2 + beta_min/2 t = depth, in the form that does not
        # cancel near t = 0.
        slope = self.beta_max - self.beta_min
        root = torch.sqrt(self.beta_min**2 / 4 + slope * depth)
        return (2 * depth / (self.beta_min / 2 + root)).clamp(0, 1)


@dataclass(frozen=True)
class VPCosine(VariancePreserving):
    """Variance preserving with a cosine alpha(t) (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008

    def _phase(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)

    @property
    def _start(self) -> float:
        return math.cos(math.pi / 2 * self.offset / (1 + self.offset))

    def log_alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.log(self.alpha(t).clamp(min=1e-30))

    def log_alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.alpha_rate(t) / self.alpha(t)

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # The sine of the remaining phase is exactly zero at t = 1; the cosine is not.
        remaining = math.pi / 2 * (1 - t) / (1 + self.offset)
        return torch.sin(remaining) / self._start

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # 1 - alpha^2 as a product of sines: the difference itself rounds to zero near t = 0.
        passed = math.pi / 2 * t / (1 + self.offset)
        start = math.pi / 2 * self.offset / (1 + self.offset)
        product = torch.sin(passed) * torch.sin(passed + 2 * start)
        return product.clamp(min=0).sqrt() / self._start

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -torch.sin(self._phase(t)) * (math.pi / 2) / (1 + self.offset) / self._start

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        phase = torch.arccos((angle.cos() * self._start).clamp(-1, 1))
        return (phase * (1 + self.offset) * 2 / math.pi - self.offset).clamp(0, 1)


@dataclass(frozen=True)
class SubVP(VPLinear):
    """alpha of the linear VP path with sigma = 1 - alpha^2 (Song et al. 2021, eq. 29)."""

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -torch.expm1(2 * self.log_alpha(t))

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -2 * self.alpha(t) * self.alpha_rate(t)

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # (1 - alpha^2) / alpha = tan(angle) has the root alpha = 2 / (r + sqrt(r^2 + 4)), and
        # -log alpha = asinh(r / 2), which does not cancel near t = 0.
        return self.time_at_depth(torch.asinh(angle.tan().clamp(max=1e15) / 2))


@dataclass(frozen=True)
class Trigonometric(Path):
    """alpha = cos(theta), sigma = sin(theta), theta = pi / 2 t^exponent.

    exponent 1 is the trigonometric interpolant (Albergo et al. 2023, section 4.2; "GVP" of Ma et
    al. 2024); others are the general variance-preserving interpolant: an angle and its pace.
    """

    exponent: float = 1.0

    def angle(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return math.pi / 2 * t**self.exponent

    def _angle_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return math.pi / 2 * self.exponent * t ** (self.exponent - 1)

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # The sine of the remaining angle is exactly zero at t = 1; the cosine is not.
        return torch.sin(math.pi / 2 * (1 - t**self.exponent))

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.sin(self.angle(t))

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -self.sigma(t) * self._angle_rate(t)

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.alpha(t) * self._angle_rate(t)

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (angle * 2 / math.pi).clamp(0, 1) ** (1 / self.exponent)

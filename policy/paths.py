"""Gaussian paths x_t = alpha(t) x_0 + sigma(t) eps; t = 0 is data, t = 1 is noise.

A path is four functions of time and the inverse of its noise angle theta = atan2(sigma, alpha).
The angle names a noise level whatever the path: log-SNR is -2 log tan(theta), and two paths at the
same angle differ only by a factor. All functions work elementwise on tensors of any shape, so t may
be one number a chunk, `[B]`, or one a token, `[B, H]`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class Path(ABC):
    """A Gaussian path between data (t = 0) and standard normal noise (t = 1)."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Return the factor of the data at time t."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Return the factor of the noise at time t."""

    @abstractmethod
    def alpha_rate(self, t: Tensor) -> Tensor:
        """Return d alpha / d t."""

    @abstractmethod
    def sigma_rate(self, t: Tensor) -> Tensor:
        """Return d sigma / d t."""

    @abstractmethod
    def time_at(self, angle: Tensor) -> Tensor:
        """Return the time whose noise angle atan2(sigma, alpha) is `angle`, in [0, pi / 2]."""

    def angle(self, t: Tensor) -> Tensor:
        """Return the noise angle atan2(sigma, alpha): 0 for data, pi / 2 for pure noise."""
        return torch.atan2(self.sigma(t), self.alpha(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """Return lambda = log(alpha / sigma), half the logarithm of the signal-to-noise ratio."""
        return torch.log(self.alpha(t)) - torch.log(self.sigma(t))


@dataclass(frozen=True)
class LinearFlow(Path):
    """Straight lines, alpha = 1 - t and sigma = t (Lipman et al. 2023; Liu et al. 2023)."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time_at(self, angle: Tensor) -> Tensor:
        return angle.sin() / (angle.sin() + angle.cos())


class VariancePreserving(Path):
    """A path with alpha^2 + sigma^2 = 1, given by log alpha(t)."""

    @abstractmethod
    def log_alpha(self, t: Tensor) -> Tensor:
        """Return log alpha(t)."""

    @abstractmethod
    def log_alpha_rate(self, t: Tensor) -> Tensor:
        """Return d log alpha / d t."""

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self.log_alpha(t))).clamp(min=0).sqrt()

    def alpha_rate(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self.log_alpha_rate(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        # alpha^2 + sigma^2 = 1 gives sigma sigma' = -alpha alpha'; it diverges at t = 0.
        return -self.alpha(t) * self.alpha_rate(t) / self.sigma(t)


@dataclass(frozen=True)
class VPLinear(VariancePreserving):
    """Variance preserving with a linear beta(t) (Ho et al. 2020; Song et al. 2021, eq. 33)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def log_alpha(self, t: Tensor) -> Tensor:
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def log_alpha_rate(self, t: Tensor) -> Tensor:
        return -0.5 * (self.beta_min + t * (self.beta_max - self.beta_min))

    def time_at(self, angle: Tensor) -> Tensor:
        # The positive root of slope/4 t^2 + beta_min/2 t = -log alpha, in the form that does
        # not cancel near t = 0.
        depth = -torch.log(angle.cos().clamp(min=1e-30))
        slope = self.beta_max - self.beta_min
        root = torch.sqrt(self.beta_min**2 / 4 + slope * depth)
        return (2 * depth / (self.beta_min / 2 + root)).clamp(0, 1)


@dataclass(frozen=True)
class VPCosine(VariancePreserving):
    """Variance preserving with a cosine alpha(t) (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008

    def _phase(self, t: Tensor) -> Tensor:
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)

    @property
    def _start(self) -> float:
        return math.cos(math.pi / 2 * self.offset / (1 + self.offset))

    def log_alpha(self, t: Tensor) -> Tensor:
        return torch.log(self.alpha(t).clamp(min=1e-30))

    def log_alpha_rate(self, t: Tensor) -> Tensor:
        return self.alpha_rate(t) / self.alpha(t)

    def alpha(self, t: Tensor) -> Tensor:
        # The sine of the remaining phase is exactly zero at t = 1; the cosine is not.
        remaining = math.pi / 2 * (1 - t) / (1 + self.offset)
        return torch.sin(remaining) / self._start

    def sigma(self, t: Tensor) -> Tensor:
        # 1 - alpha^2 as a product of sines: the difference itself rounds to zero near t = 0.
        passed = math.pi / 2 * t / (1 + self.offset)
        start = math.pi / 2 * self.offset / (1 + self.offset)
        product = torch.sin(passed) * torch.sin(passed + 2 * start)
        return product.clamp(min=0).sqrt() / self._start

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -torch.sin(self._phase(t)) * (math.pi / 2) / (1 + self.offset) / self._start

    def time_at(self, angle: Tensor) -> Tensor:
        phase = torch.arccos((angle.cos() * self._start).clamp(-1, 1))
        return (phase * (1 + self.offset) * 2 / math.pi - self.offset).clamp(0, 1)

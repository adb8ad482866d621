"""Weights w(t) of the squared error of x_0 on a path; lambda = log(alpha / sigma).

Without a weight (`None`) a loss is the plain squared error of what the network predicts.
SNR = exp(2 lambda).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..paths import SIGMA_DATA, Path
from ..targets import frame


class Weight(ABC):
    """The weight of the squared x_0 error at times t."""

    @abstractmethod
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return w(t) >= 0; a path that is learned gets no gradient through it."""

    def penalty(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return what is added to the weighted error; only learned weights need it."""
        return torch.zeros_like(t)


@dataclass(frozen=True)
class Sample(Weight):
    """w = 1: the squared error of x_0 itself, whatever is predicted."""

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.ones_like(t)


@dataclass(frozen=True)
class SNR(Weight):
    """w = SNR, the plain epsilon loss whatever is predicted (Ho et al. 2020, eq. 14).

    On a variance-exploding path it is also sigma^2 times the squared error of the score, the weight
    of denoising score matching (Song & Ermon 2019, eq. 6).
    """

    maximum: float = 1e4

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.exp(2 * path.log_snr(t)).clamp(max=self.maximum)


@dataclass(frozen=True)
class MinSNR(Weight):
    """w = min(SNR, gamma) (Hang et al. 2023, eq. 10)."""

    gamma: float = 5.0

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.exp(2 * path.log_snr(t)).clamp(max=self.gamma)


@dataclass(frozen=True)
class ELBO(Weight):
    """w = -d(SNR)/dt / 2: with uniform t, the variational bound (Kingma et al. 2021, eq. 17)."""

    maximum: float = 1e4

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return path.snr_fall(t).clamp(max=self.maximum)


@dataclass(frozen=True)
class Sigmoid(Weight):
    """The bound's weight times sigmoid(bias - log SNR) (Kingma & Gao 2023; Hoogeboom et al. 2024).

    With uniform t the loss does not depend on the path, since the weight holds d lambda / dt.
    """

    bias: float = 0.0
    maximum: float = 1e4

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        share = torch.sigmoid(self.bias - 2 * path.log_snr(t))
        return (share * path.snr_fall(t)).clamp(max=self.maximum)


@dataclass(frozen=True)
class EDM(Weight):
    """w = 1 / sigma^2 + 1 / sigma_data^2, sigma in units of alpha (Karras et al. 2022, table 1)."""

    maximum: float = 1e4

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (torch.exp(2 * path.log_snr(t)) + 1 / SIGMA_DATA**2).clamp(max=self.maximum)


@dataclass(frozen=True)
class Targets(Weight):
    """The summed squared errors of several targets, all read off the one prediction.

    Velocity and epsilon together are the loss of a stochastic interpolant's velocity and score
    (Albergo et al. 2023, eqs. 2.13 and 2.16).

    Args:
        factors: target name -> its factor.
    """

    factors: Mapping[str, float] = field(default_factory=lambda: {"velocity": 1.0, "epsilon": 1.0})
    maximum: float = 1e4

    @torch.no_grad()
    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        total = torch.zeros_like(t)
        for target, factor in self.factors.items():
            level = frame(target, path, t)
            total = total + factor * (level.det / level.sigma) ** 2
        return total.clamp(max=self.maximum)


class Learned(nn.Module, Weight):
    """base / exp(u(t)) plus u(t): every noise level is weighted by its own uncertainty.

    Karras et al. 2024 (EDM2), eq. 21; u is a small network of the noise angle's Fourier features.

    Args:
        base: the weight that exp(u(t)) divides.
        n_features: Fourier features.
    """

    frequencies: Tensor

    def __init__(self, base: Weight, n_features: int = 16) -> None:
        super().__init__()
        self.base = base
        self.register_buffer("frequencies", torch.arange(1, n_features + 1).float())
        self.output = nn.Linear(2 * n_features, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def log_variance(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return u(t)."""
        with torch.no_grad():
            phases = path.angle(t)[..., None].float() * self.frequencies * 2
        features = torch.cat([phases.sin(), phases.cos()], -1)
        # Elementwise rather than a matmul: autocast would round it to bfloat16.
        value = (features * self.output.weight[0]).sum(-1) + self.output.bias
        return value.to(t.dtype)

    def weight(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        base = self.base.weight(path, t)
        return base * torch.exp(-self.log_variance(path, t))

    def penalty(self, path: Path, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.log_variance(path, t)

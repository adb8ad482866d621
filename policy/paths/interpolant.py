"""Linear stochastic interpolants, from noise or from a known chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .path import Path


@dataclass(frozen=True)
class Interpolant(Path):
    """x_t = (1 - t) x_0 + t x_1 + latent sqrt(2 t (1 - t)) z (Albergo et al. 2023, eqs. 2.1, 2.24).

    The base x_1 is normal noise, or a known chunk plus noise of deviation `spread`. Given the known
    part, what remains of x_1 and z is one Gaussian of variance
    sigma^2 = spread^2 t^2 + 2 latent^2 t (1 - t), so all of the algebra holds for x_t - t x_1.

    With a latent the velocity grows as 1 / sqrt(t) towards the data: training begins at
    `earliest`, and a bounded target (`v_prediction`, `sample`) is the easier one to learn.

    Args:
        latent: strength of the latent z.
        spread: standard deviation of the base about its known part.
        has_base: True to start from the previous chunk, False to start from noise alone.
        earliest: the first time of training.
    """

    latent: float = 0.5
    spread: float = 1.0
    has_base: bool = False
    earliest: float = 0.01

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 1 - t

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (self.spread**2 * t**2 + 2 * self.latent**2 * t * (1 - t)).sqrt()

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -torch.ones_like(t)

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (self.spread**2 * t + self.latent**2 * (1 - 2 * t)) / self.sigma(t)

    def beta(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return t if self.has_base else torch.zeros_like(t)

    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        # With q = t / (1 - t): tan(angle)^2 = spread^2 q^2 + 2 latent^2 q; the positive root, in
        # the form that does not cancel near t = 0.
        square = angle.tan().clamp(max=1e15) ** 2
        root = torch.sqrt(self.latent**4 + self.spread**2 * square)
        q = square / (self.latent**2 + root)
        return torch.where(square == 0, 0.0, q / (1 + q))

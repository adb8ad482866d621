"""What every Gaussian path x_t = alpha(t) x_0 + sigma(t) eps offers; t = 0 is data, 1 is noise.

A path is four functions of time and the inverse of its noise angle theta = atan2(sigma, alpha).
The angle names a noise level whatever the path: log-SNR is -2 log tan(theta), and two paths at the
same angle differ only by a factor. All functions work elementwise on tensors of any shape, so t may
be one number a chunk, `[B]`, or one a token, `[B, H]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

#: Deviation of normalised actions, as EDM's sigma_data: they lie in [-1, 1].
SIGMA_DATA = 0.5


class Path(ABC):
    """A Gaussian path between data (t = 0: alpha = 1, sigma = 0) and noise (t = 1).

    Attributes:
        earliest: the first time of training; before it the noise is too little to divide by.
        has_base: True if the path starts from a known chunk x_1 and not from noise alone; the
            state is then alpha x_0 + sigma eps + beta x_1.
    """

    earliest: float = 1e-5
    has_base: bool = False

    @abstractmethod
    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the factor of the data at time t."""

    @abstractmethod
    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the factor of the noise at time t."""

    @abstractmethod
    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return d alpha / d t."""

    @abstractmethod
    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return d sigma / d t."""

    @abstractmethod
    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the time whose noise angle atan2(sigma, alpha) is `angle`, in [0, pi / 2]."""

    def beta(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the factor of the known base x_1 at time t; zero where there is none."""
        return torch.zeros_like(t)

    def input_scale(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"] | None:
        """Return the factor that gives the network inputs of order one; None for a factor of 1.

        EDM's c_in (Karras et al. 2022, table 1); only paths whose sigma grows large need it.
        """
        return None

    def angle(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the noise angle atan2(sigma, alpha): 0 for data, pi / 2 for pure noise."""
        return torch.atan2(self.sigma(t), self.alpha(t))

    def length(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return |(alpha, sigma)| at a noise angle: the path's scale there; 1 for the data."""
        t = self.time_at(angle)
        return torch.where(angle == 0, 1.0, torch.hypot(self.alpha(t), self.sigma(t)))

    def log_snr(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return lambda = log(alpha / sigma), half the logarithm of the signal-to-noise ratio."""
        return torch.log(self.alpha(t)) - torch.log(self.sigma(t))

    def snr_fall(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return -d SNR / dt / 2, the weight of the x_0 error in the variational bound.

        Kingma et al. 2021, eq. 17, in a form that stays finite where alpha is 0.
        """
        alpha = self.alpha(t)
        sigma = self.sigma(t)
        return alpha * (alpha * self.sigma_rate(t) - sigma * self.alpha_rate(t)) / sigma**3

    def log_snr_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return d lambda / d t, negative: noise only grows."""
        return self.alpha_rate(t) / self.alpha(t) - self.sigma_rate(t) / self.sigma(t)

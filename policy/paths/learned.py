"""A variance-preserving path whose noise schedule is learned (Kingma et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import PolicyError
from .path import Path

_BISECTIONS = 55


class LearnedGamma(nn.Module, Path):
    """alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), gamma(t) monotone and learned.

    gamma is a linear part and a hidden layer of sigmoids with positive weights, mapped onto
    [gamma_min, gamma_max] (Kingma et al. 2021, section 4.1 and appendix H). The mean of the
    variational bound does not depend on gamma between its ends, but its variance does:
    `reduce_variance` trains gamma to make it small.

    Args:
        gamma_min: gamma(0) = log sigma^2 / alpha^2 at the data; sigma(0) is exp(gamma_min / 2).
        gamma_max: gamma(1), at the noise.
        width: hidden sigmoids.
    """

    def __init__(self, gamma_min: float = -13.3, gamma_max: float = 10.0, width: int = 16) -> None:
        super().__init__()
        if not 1 <= width <= 1024 or not gamma_min < gamma_max:
            raise PolicyError(
                "a learned path needs gamma_min < gamma_max and 1 to 1024 hidden sigmoids; got "
                f"{gamma_min}, {gamma_max} and {width}"
            )

        self.gamma_min = gamma_min
        self.gamma_max = gamma_max
        self.linear = nn.Parameter(torch.zeros(()))
        self.gain = nn.Parameter(torch.full((width,), -4.0))
        self.steepness = nn.Parameter(torch.full((width,), 8.0))
        self.centre = nn.Parameter(torch.linspace(0, 1, width))
        self._emphasis: Tensor | None = None

    def gamma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return gamma(t) = -log SNR, increasing from gamma_min to gamma_max."""
        ends = self._raw(t.new_tensor([0.0, 1.0]))
        fraction = (self._raw(t) - ends[0]) / (ends[1] - ends[0])
        return self._weighed(self.gamma_min + (self.gamma_max - self.gamma_min) * fraction)

    def gamma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return d gamma / d t, positive."""
        ends = self._raw(t.new_tensor([0.0, 1.0]))
        slope = self._raw_rate(t) / (ends[1] - ends[0])
        return self._weighed((self.gamma_max - self.gamma_min) * slope)

    def reduce_variance(self, losses: Float[Tensor, "B ..."]) -> None:
        """Make the coming backward pass train gamma on E[losses^2] instead of E[losses].

        Kingma et al. 2021, appendix I.2: the mean does not depend on gamma, so the second moment is
        the variance to minimise, and its gradient is 2 loss d loss / d gamma.

        Args:
            losses: the loss of every chunk, `[B, ...]` with B numbers.
        """
        self._emphasis = 2 * losses.detach()

    def alpha(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.sigmoid(-self.gamma(t)).sqrt()

    def sigma(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.sigmoid(self.gamma(t)).sqrt()

    def alpha_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -0.5 * self.alpha(t) * torch.sigmoid(self.gamma(t)) * self.gamma_rate(t)

    def sigma_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 0.5 * self.sigma(t) * torch.sigmoid(-self.gamma(t)) * self.gamma_rate(t)

    def log_snr(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -0.5 * self.gamma(t)

    def log_snr_rate(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return -0.5 * self.gamma_rate(t)

    def snr_fall(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 0.5 * self.gamma_rate(t) * torch.exp(-self.gamma(t))

    @torch.no_grad()
    def time_at(self, angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        wanted = 2 * torch.log(angle.tan().clamp(1e-30, 1e30))
        low = torch.zeros_like(angle)
        high = torch.ones_like(angle)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            above = self.gamma(middle) > wanted
            low = torch.where(above, low, middle)
            high = torch.where(above, middle, high)

        t = (low + high) / 2
        t = torch.where(wanted <= self.gamma_min, 0.0, t)
        return torch.where(wanted >= self.gamma_max, 1.0, t)

    def _raw(self, t: Tensor) -> Tensor:
        hidden = torch.sigmoid(self._steepness(t) * (t[..., None] - self.centre.to(t)))
        return F.softplus(self.linear.to(t)) * t + (F.softplus(self.gain.to(t)) * hidden).sum(-1)

    def _raw_rate(self, t: Tensor) -> Tensor:
        steepness = self._steepness(t)
        hidden = torch.sigmoid(steepness * (t[..., None] - self.centre.to(t)))
        slopes = F.softplus(self.gain.to(t)) * steepness * hidden * (1 - hidden)
        return F.softplus(self.linear.to(t)) + slopes.sum(-1)

    def _steepness(self, t: Tensor) -> Tensor:
        return F.softplus(self.steepness.to(t))

    def _weighed(self, value: Tensor) -> Tensor:
        """Return `value`; its gradient will be multiplied by the losses of `reduce_variance`."""
        if value.requires_grad:
            self._emphasis = None
            value.register_hook(self._weigh)  # type: ignore[no-untyped-call]
        return value

    def _weigh(self, gradient: Tensor) -> Tensor:
        if self._emphasis is None:
            return gradient
        return gradient * self._emphasis.reshape(-1, *[1] * (gradient.ndim - 1))

"""Distributions of the training time, each given by its quantile function.

`sample(batch, horizon, path, generator)` -> `[B]`, one time a chunk, or `[B, H]`, one a token.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from ..paths import Path, shifted

#: The largest number of single precision below 1.
BELOW_ONE = 1 - 2.0**-24


#: One time a chunk, or one a token.
DrawnTimes = Float[Tensor, "{batch}"] | Float[Tensor, "{batch} {horizon}"]


class TimeDistribution(ABC):
    """Draws training times in [0, 1]; one a chunk, or one a token."""

    @abstractmethod
    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        """Return the time below which a fraction u of the draws lie."""

    def density(self, t: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        """Return the density of the draws at times t inside (0, 1).

        A loss that is an integral over t divides by it, and is then the same whatever the times.

        Raises:
            PolicyError: this distribution does not know its density.
        """
        raise PolicyError(
            f"{type(self).__name__} times have no density to divide by; use time=uniform or "
            "time=log_normal"
        )

    def sample(
        self, batch: int, horizon: int, path: Path, generator: torch.Generator | None = None
    ) -> DrawnTimes:
        """Return the times of a batch.

        One draw in each of B equal strata of probability, in random order: the same marginal with
        less variance (Kingma et al. 2021, appendix I.1).

        Args:
            batch: B, the number of chunks.
            horizon: H, which only times of tokens need.
            path: the noising path.
            generator: the source of the draws.
        """
        strata = torch.randperm(batch, generator=generator)
        u = (strata + torch.rand(batch, generator=generator)) / batch
        # The last stratum can round to 1, where a path may have no data left to predict.
        return self.quantile(u.clamp(max=BELOW_ONE), path).clamp(max=BELOW_ONE)


@dataclass(frozen=True)
class Uniform(TimeDistribution):
    """t uniform in [0, 1]."""

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return u

    def density(self, t: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return torch.ones_like(t)


@dataclass(frozen=True)
class LogitNormal(TimeDistribution):
    """logit(t) normal (Esser et al. 2024, eq. 19)."""

    mean: float = 0.0
    std: float = 1.0

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return torch.sigmoid(self.mean + self.std * _normal_quantile(u))


@dataclass(frozen=True)
class LogNormal(TimeDistribution):
    """log(sigma / alpha) normal, whatever the path (Karras et al. 2022, table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return path.time_at(torch.atan(torch.exp(self.mean + self.std * _normal_quantile(u))))

    def density(self, t: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        standard = (-path.log_snr(t) - self.mean) / self.std
        normal = torch.exp(-0.5 * standard**2) / (self.std * math.sqrt(2 * math.pi))
        return normal * -path.log_snr_rate(t)


@dataclass(frozen=True)
class Beta(TimeDistribution):
    """Beta(a, 1), t = u^(1 / a): more noise for a > 1 (Black et al. 2024, appendix B)."""

    a: float = 1.5

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return u ** (1 / self.a)


@dataclass(frozen=True)
class Mode(TimeDistribution):
    """Denser about the middle for scale > 0, about the ends below (Esser et al. 2024, eq. 20).

    Args:
        scale: between -1 and 2 / (pi - 2), where the map stays monotone.
    """

    scale: float = 1.0

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        # The published map falls from 1 to 0; v = 1 - u makes it a quantile function.
        v = 1 - u
        t = 1 - v - self.scale * (torch.cos(math.pi / 2 * v) ** 2 - 1 + v)
        return t.clamp(0, 1)


@dataclass(frozen=True)
class Shifted(TimeDistribution):
    """Another distribution with every sigma / alpha multiplied by `shift`.

    On straight lines this is t -> shift t / (1 + (shift - 1) t) (Esser et al. 2024, eq. 23). There
    it serves images of high resolution; long chunks of correlated actions need it for the same
    reason.
    """

    base: TimeDistribution
    shift: float = 2.0

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return shifted(self.base.quantile(u, path), self.shift, path)


@dataclass(frozen=True)
class PerToken(TimeDistribution):
    """An own, independent time for every token (Chen et al. 2024, diffusion forcing).

    Args:
        base: the distribution of each time.
        together: fraction of the chunks whose tokens share one time. Sampling without a delay
            visits only such chunks, and independent times are almost never all near noise.
    """

    base: TimeDistribution
    together: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.together <= 1:
            raise PolicyError(f"together is a fraction of the chunks; got {self.together}")

    def quantile(self, u: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return self.base.quantile(u, path)

    def density(self, t: Float[Tensor, "*shape"], path: Path) -> Float[Tensor, "*shape"]:
        return self.base.density(t, path)

    def sample(
        self, batch: int, horizon: int, path: Path, generator: torch.Generator | None = None
    ) -> DrawnTimes:
        t = super().sample(batch * horizon, 1, path, generator).reshape(batch, horizon)
        n_together = round(self.together * batch)
        if n_together:
            t[:n_together] = self.base.sample(n_together, horizon, path, generator)[:, None]
        return t


def _normal_quantile(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the quantiles of the standard normal distribution."""
    # Draws of exactly 0 or 1 would be infinite.
    quantile: Tensor = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
    return quantile

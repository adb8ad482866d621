"""The variational bound on the likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoiser import Denoiser
from ...paths import LearnedGamma, Path
from ..times import TimeDistribution, Uniform
from ..weights import Weight
from .objective import Objective, TrainingBatch, masked_mean, refuse_weight


@dataclass(frozen=True)
class VariationalBound(Objective):
    """The continuous-time bound on -log p(x_0), in bits a dimension (Kingma et al. 2021, eq. 17).

    prior + reconstruction + E_t[-d(SNR)/dt / 2 |x_0 - x_0_hat|^2]; a learned gamma is trained to
    reduce the variance of the estimate. Data count as continuous: bits of their density.

    The integral over t is estimated by importance sampling: each error is divided by the density
    of its time, so the times change the estimate's variance and not its mean. With uniform times on
    a fixed path nearly all of it stands in the few smallest times.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t, one that knows its density.
        earliest: where the reconstruction takes over from the diffusion loss.
        weight: must stay None, as the bound has its own.
    """

    target: str = "epsilon"
    times: TimeDistribution = field(default_factory=Uniform)
    earliest: float = 1e-3
    weight: Weight | None = None

    def __post_init__(self) -> None:
        refuse_weight(self, self.weight)

    def loss(
        self,
        denoiser: Denoiser,
        batch: TrainingBatch,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        path = denoiser.path
        noised = self.noised(path, batch, generator)
        # Draws before the earliest time are outside of the integral.
        inside = noised.t > self.earliest
        noised = noised.at(torch.where(inside, noised.t, 0.5))
        t = noised.per_token
        level = denoiser.level(t)
        state = noised.state(level)

        prediction = denoiser.predict(state, noised.t, batch.condition).to(batch.sample.dtype)
        estimate = level.sample(state - noised.shift, prediction)
        importance = inside.reshape(t.shape) / self.times.density(t, path).detach()
        error = importance * path.snr_fall(t) * (estimate - noised.sample) ** 2

        ends = self._ends(path, noised.sample)
        if isinstance(path, LearnedGamma):  # last: any later use of the path would undo it
            path.reduce_variance(error.mean((1, 2), keepdim=True))
        return masked_mean(error + ends, batch.mask) / math.log(2)

    @torch.no_grad()
    def _ends(self, path: Path, sample: Float[Tensor, "B H Da"]) -> Float[Tensor, "B H Da"]:
        """Return the prior's and the reconstruction's nats, elementwise."""
        first = sample.new_tensor(self.earliest)
        last = sample.new_tensor(1.0)
        # KL of N(alpha x_0, sigma^2) from the prior N(0, sigma^2) at t = 1.
        prior = 0.5 * (path.alpha(last) / path.sigma(last) * sample) ** 2
        # -log N(x_0; x / alpha, (sigma / alpha)^2) at the earliest time, on average.
        reconstruction = 0.5 * math.log(2 * math.pi * math.e) - path.log_snr(first)
        return prior + reconstruction

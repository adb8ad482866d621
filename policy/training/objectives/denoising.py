"""The squared error of the target at a random time."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoiser import Denoiser
from ..times import TimeDistribution, Uniform
from ..weights import Weight
from .objective import Objective, TrainingBatch, masked_mean


@dataclass(frozen=True)
class Denoising(Objective):
    """E w(t) |F(x_t, t) - (a x_0 + b eps)|^2.

    Ho et al. 2020, eq. 14; Lipman et al. 2023, eq. 23; Karras et al. 2022, eq. 2; denoising score
    matching (Vincent 2011) for target "score" or, up to the weight, any other.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t.
        weight: weight of the squared x_0 error; None leaves the target's own squared error.
    """

    target: str = "velocity"
    times: TimeDistribution = field(default_factory=Uniform)
    weight: Weight | None = None

    def loss(
        self,
        denoiser: Denoiser,
        batch: TrainingBatch,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        path = denoiser.path
        # A path that is learned is not learned here: any weighted error has a trivial minimum.
        with torch.no_grad():
            noised = self.noised(path, batch, generator)
            # At t = 0 there is no noise, and targets that divide by sigma are not defined.
            noised = noised.at(noised.t.clamp(min=path.earliest))
            t = noised.per_token
            level = denoiser.level(t)
            x = noised.state(level)
            wanted = level.target(noised.sample, noised.noise)
            # |dx_0|^2 = (sigma / det)^2 |dF|^2
            per_target = (level.sigma / level.det) ** 2

        prediction = denoiser.predict(x, noised.t, batch.condition)
        error = (prediction.to(batch.sample.dtype) - wanted) ** 2
        if self.weight is not None:
            error = error * self.weight.weight(path, t) * per_target + self.weight.penalty(path, t)
        return masked_mean(error, batch.mask)

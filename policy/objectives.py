"""The denoising objective: draw a time, noise the data, compare the prediction with the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .paths import Path
from .targets import frame
from .times import TimeDistribution, Uniform
from .weights import Weight

#: The earliest time of training.
EARLIEST = 1e-5

Network = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Denoising:
    """E w(lambda) |F(x_t, t) - (a x_0 + b eps)|^2.

    Ho et al. 2020, eq. 14; Lipman et al. 2023, eq. 23.

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
        network: Network,
        path: Path,
        sample: Tensor,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean loss over real tokens, a scalar.

        Args:
            network: maps (x `[B, H, Da]`, t `[B]` or `[B, H]`) to the prediction F `[B, H, Da]`.
            path: the noising path.
            sample: normalised chunks x_0 `[B, H, Da]`.
            mask: `[B, H]`, True where the action is real and False where it is padding.
            generator: the source of times and noise, on the CPU.
        """
        batch, horizon, _ = sample.shape
        # At t = 0 there is no noise, and targets that divide by sigma are not defined.
        t = self.times.sample(batch, horizon, generator).to(sample).clamp(min=EARLIEST)
        noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype).to(sample.device)
        per_token = t[:, None, None] if t.ndim == 1 else t[:, :, None]
        level = frame(self.target, path, per_token)
        prediction = network(level.noised(sample, noise), t)
        error = (prediction.to(sample.dtype) - level.target(sample, noise)) ** 2
        if self.weight is not None:
            # |dx_0|^2 = (sigma / det)^2 |dF|^2
            error = error * self.weight(path.log_snr(per_token)) * (level.sigma / level.det) ** 2
        if mask is None:
            return error.mean()
        real = mask.to(error.dtype)
        return (error.mean(-1) * real).sum() / real.sum().clamp(min=1)

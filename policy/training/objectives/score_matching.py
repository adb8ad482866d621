"""Score matching without a noise target."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...denoiser import Denoiser
from ...errors import PolicyError
from ...targets import convert
from ..times import TimeDistribution, Uniform
from ..weights import Weight
from .objective import Objective, TrainingBatch, refuse_weight


@dataclass(frozen=True)
class SlicedScoreMatching(Objective):
    """E w(t) (v . grad(v . s) + (v . s)^2 / 2), s the score of x_t (Song et al. 2019, eq. 5).

    It needs no noise target, only the network's own slope along random directions v; its minimum
    is that of denoising score matching, so it serves as an oracle. Backward runs twice.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`; read as a score.
        times: the distribution of t.
        earliest: where the score would diverge with 1 / sigma; times stay above.
        weight: must stay None, as the loss has its own, sigma^2.
    """

    target: str = "epsilon"
    times: TimeDistribution = field(default_factory=Uniform)
    earliest: float = 0.02
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
        if batch.mask is not None and not bool(batch.mask.all()):
            raise PolicyError(
                "sliced score matching looks at whole chunks and cannot leave padding out; "
                "use data.padding=repeat"
            )

        with torch.no_grad():
            noised = self.noised(path, batch, generator)
            noised = noised.at(noised.t.clamp(min=max(self.earliest, path.earliest)))
            t = noised.per_token
            x = noised.state(denoiser.level(t))
            slices = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)

        x.requires_grad_()
        # The fused kernels of attention have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            prediction = denoiser.predict(x, noised.t, batch.condition).to(x.dtype)
        score = convert(prediction, x - noised.shift, path, t, self.target, "score")
        projected = (slices * score).sum((1, 2))
        (slope,) = torch.autograd.grad(projected.sum(), x, create_graph=True)

        # One number a chunk; weighted by sigma^2 as in Song & Ermon 2019, eq. 6.
        value = (slices * slope).sum((1, 2)) + 0.5 * projected**2
        return (value * (path.sigma(t) ** 2).mean((1, 2))).mean() / batch.sample[0].numel()

"""Classifier-free guidance: away from what the policy would do without seeing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from .estimate import Estimate, Guidance


@dataclass(frozen=True)
class ClassifierFree(Guidance):
    """x_u + scale (x_c - x_u) of the estimates with and without observations (Ho & Salimans 2022).

    Scale 1 is the policy itself and costs nothing more. The same combination holds for the scores,
    so at every noise level the field is that of p_t(x | obs)^scale p_t(x)^(1 - scale). That is not
    the noised p(x_0 | obs)^scale p(x_0)^(1 - scale), except where the ratio of the two densities
    is a Gaussian factor of its own, independent of the rest (Bradley & Nakkiran 2024).

    Args:
        scale: 0 ignores the observation, above 1 exaggerates it.
        interval: times (low, high) within which to guide; outside, the second network evaluation
            is spared (Kynkäänniemi et al. 2024, who name it by sigma).
        rescale: in [0, 1], how far each row's deviation is brought back to that of x_c
            (Lin et al. 2024, eqs. 15-16).

    Raises:
        PolicyError: an interval that ends before it begins, or a rescale outside [0, 1].
    """

    scale: float = 2.0
    interval: Sequence[float] = (0.0, 1.0)
    rescale: float = 0.0
    needs_unconditional = True

    def __post_init__(self) -> None:
        if not self.interval[0] <= self.interval[1] or not 0 <= self.rescale <= 1:
            raise PolicyError(
                "classifier-free guidance needs interval low <= high and rescale in [0, 1]; got "
                f"{tuple(self.interval)} and {self.rescale}"
            )

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        low, high = self.interval
        if self.scale == 1 or not low <= estimate.t <= high:
            return estimate.sample

        seeing = estimate.sample
        blind = estimate.without_obs()
        guided = blind + self.scale * (seeing - blind)
        if self.rescale == 0:
            return guided

        wanted = seeing.std((-2, -1), correction=0, keepdim=True)
        spread = guided.std((-2, -1), correction=0, keepdim=True)
        # A chunk of one number, or of equal ones, has no spread to bring back.
        ratio = torch.where(spread > 0, wanted / spread, 1.0)
        return guided * (self.rescale * ratio + 1 - self.rescale)

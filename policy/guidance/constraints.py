"""Edits that keep every x_0 estimate within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from .estimate import Estimate, Guidance
from .sets import Nearest


@dataclass(frozen=True)
class DynamicClamp(Guidance):
    """Dynamic thresholding of over-strong guidance (Saharia et al. 2022, section 2.3).

    Each row is clamped to the quantile s of its absolute entries, if that is above `bound`, and
    scaled by bound / s: a chunk beyond the data's range keeps its shape instead of being cut.

    Args:
        quantile: part of the entries that fix s, in (0, 1].
        bound: what normalised actions may reach; the policy's `clip_sample`.

    Raises:
        PolicyError: a quantile outside (0, 1].
    """

    quantile: float = 0.995
    bound: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1:
            raise PolicyError(f"the quantile of a clamp lies in (0, 1]; got {self.quantile}")

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        sample = estimate.sample
        size = torch.quantile(sample.abs().flatten(1), self.quantile, dim=1)
        size = size.clamp(min=self.bound)[:, None, None]
        return torch.minimum(torch.maximum(sample, -size), size) * (self.bound / size)


@dataclass(frozen=True)
class Projection(Guidance):
    """Replaces every x_0 estimate by the nearest chunk of a set, in the data's units.

    As the last edit it makes the chunk satisfy the constraint exactly, since the last estimate is
    the answer (projected diffusion, Christopher et al. 2024, who project x_t).

    Args:
        onto: the set, a projection (see `sets`).
    """

    onto: Nearest
    exact = True

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        actions = estimate.to_actions(estimate.sample)
        nearest = self.onto(actions, estimate.obs)
        # What satisfies the constraint stays bitwise as it is.
        same = nearest == actions
        if estimate.mixes_columns:
            same = same.flatten(1).all(1)[:, None, None]
        return torch.where(same, estimate.sample, estimate.to_normalized(nearest))

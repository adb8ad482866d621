"""Edits that hold part of a chunk to known actions: the prefix under way, or any mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from .estimate import Estimate, Guidance

#: A number, nested lists, or a tensor: broadcasts to `[B, H, Da]`.
Values = Tensor | Sequence[Any] | float


@dataclass(frozen=True)
class Inpainting(Guidance):
    """Replaces the known entries of every x_0 estimate: w y + (1 - w) x_0.

    With weights 0 and 1 the chunk comes out with exactly the known entries, and the network sees
    them at every step (as in Janner et al. 2022, section 3.4, who replace them in x_t). Values
    beyond the data's range are held to the policy's `clip_sample` as all estimates are.

    Args:
        values: known actions y in the data's units, `[H, Da]` or `[B, H, Da]`; NaN where free.
        weights: w in [0, 1], anything that broadcasts to `[B, H, Da]`, e.g. `prefix_weights`.
    """

    values: Values
    weights: Values = 1.0

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        known, weights = _known(estimate, self.values, self.weights)
        return torch.lerp(estimate.sample, known, weights)


@dataclass(frozen=True)
class PseudoInverse(Guidance):
    """x_0 + (sigma^2 / (alpha r^2)) D^T w (y - x_0), r the deviation of x_0 given x_t.

    Pseudo-inverse guidance for a mask (Song et al. 2023a), D being the estimate's Jacobian
    in x; with soft weights it is the guidance of real-time chunking (Black et al. 2025, eq. 2).
    Free entries follow the known ones as far as the network ties them together; the known ones are
    met only approximately, so an `Inpainting` may follow. Exact for independent normal data.

    Args:
        values: known actions y in the data's units, `[H, Da]` or `[B, H, Da]`; NaN where free.
        weights: w in [0, 1], anything that broadcasts to `[B, H, Da]`, e.g. `prefix_weights`.
        limit: bound on the factor (see `gain`), which grows without bound towards pure noise.
        spread: deviation of the normalised data, which fixes r; 1 as published.
    """

    values: Values
    weights: Values = 1.0
    limit: float = 5.0
    spread: float = 1.0
    needs_gradient = True

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        known, weights = _known(estimate, self.values, self.weights)
        sample = estimate.sample.detach()
        length = math.hypot(estimate.alpha, estimate.sigma)
        alpha = estimate.alpha / length
        sigma = estimate.sigma / length

        # sigma^2 / r^2, with r^2 = sigma^2 spread^2 / (alpha^2 spread^2 + sigma^2).
        precision = alpha**2 + (sigma / self.spread) ** 2
        factor = length * (precision / alpha if precision < self.limit * alpha else self.limit)
        return estimate.sample + factor * estimate.vjp(weights * (known - sample))


def prefix_weights(
    horizon: int, n_fixed: int, n_free: int | None = None
) -> Float[Tensor, "{horizon} 1"]:
    """Return weights that hold a chunk's first steps.

    Args:
        horizon: H.
        n_fixed: steps of weight 1: those that are executed before the new chunk can be.
        n_free: steps at the end of weight 0; the weights between decay as in real-time chunking
            (Black et al. 2025, eq. 5). None frees all steps that are not fixed.

    Raises:
        PolicyError: more steps than the horizon has.
    """
    n_free = horizon - n_fixed if n_free is None else n_free
    if min(n_fixed, n_free) < 0 or n_fixed + n_free > horizon:
        raise PolicyError(f"{n_fixed} fixed and {n_free} free steps do not fit horizon {horizon}")

    step = torch.arange(horizon, dtype=torch.float64)
    c = ((horizon - n_free - step) / (horizon - n_free - n_fixed + 1)).clamp(0, 1)
    weights = c * torch.expm1(c) / math.expm1(1)
    return torch.where(step < n_fixed, 1.0, weights).float()[:, None]


def _known(
    estimate: Estimate, values: Values, weights: Values
) -> tuple[Float[Tensor, "B H Da"], Float[Tensor, "B H Da"]]:
    """Return the normalised known actions and their weights."""
    sample = estimate.sample
    if estimate.mixes_columns:
        return _known_whole(estimate, values, weights), torch.ones_like(sample)

    given = torch.as_tensor(values).to(sample).expand_as(sample)
    free = given.isnan()

    known = estimate.to_normalized(torch.where(free, 0.0, given))
    held = torch.as_tensor(weights).to(sample).expand_as(sample)
    return known, torch.where(free, 0.0, held)


def _known_whole(estimate: Estimate, values: Values, weights: Values) -> Float[Tensor, "B H _"]:
    """Return whole chunks that hold the known actions, where single numbers cannot be replaced.

    Known and estimated actions are mixed as the robot has them, and written as the network does.
    """
    actions = estimate.to_actions(estimate.sample.detach())
    given = torch.as_tensor(values).to(actions).expand_as(actions)
    held = torch.as_tensor(weights).to(actions).expand_as(actions)
    free = given.isnan()
    mixed = torch.lerp(actions, torch.where(free, 0.0, given), torch.where(free, 0.0, held))
    return estimate.to_normalized(mixed)

"""What a chunk should not do, as differentiable numbers: J(actions, obs) -> `[B]`, in nats.

A cost is read as minus the logarithm of how acceptable a chunk is, so costs add. Violations are
measured in units of `softness`: a violation of that size costs half a nat.

Parameters belong to all rows (numbers, lists), to each row (a tensor `[B, ...]`), or are read from
an observation (its key; the latest step counts), so that environments in one batch differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations
from ..errors import unknown_name

#: J(actions `[B, H, Da]` in the data's units, raw obs key -> `[B, To, ...]`) -> `[B]`.
CostFunction = Callable[[Tensor, Observations], Tensor]
#: A number or vector for all rows, a tensor with one a row, or the key of an observation.
Parameter = float | Sequence[float] | Tensor | str


class Cost(ABC):
    """A differentiable cost of chunks; a function of that shape serves as well."""

    @abstractmethod
    def __call__(self, actions: Float[Tensor, "B H Da"], obs: Observations) -> Float[Tensor, "B"]:
        """Return the cost of every chunk."""


def resolve(
    value: Parameter, obs: Observations, like: Float[Tensor, "B H dims"], *, vector: bool
) -> Float[Tensor, "..."]:
    """Return a parameter in a shape that broadcasts with `like`.

    Args:
        value: the parameter; a tensor of one more axis than needed holds one value a row.
        obs: raw observations, key -> `[B, To, ...]`.
        like: gives device and dtype.
        vector: True for a parameter `[k]`, which becomes `[k]` or `[B, 1, k]`; False for a number,
            which becomes `[]` or `[B, 1]`.

    Raises:
        PolicyError: there is no observation of that name.
    """
    if isinstance(value, str):
        if value not in obs:
            raise unknown_name("observation", value, obs)
        latest = obs[value][:, -1].flatten(1)
        value = latest if vector else latest[:, 0]

    found = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return found.unsqueeze(1) if found.ndim > int(vector) else found


@dataclass(frozen=True)
class ForbiddenDisc(Cost):
    """Half the squared depth of every action inside a disc or ball, summed over the chunk.

    Args:
        centre: position `[k]`.
        radius: of the forbidden disc.
        margin: how far outside of it the cost begins.
        dims: the k action dimensions that are a position.
        softness: depth that costs half a nat.
        between: points looked at on the way from one action to the next, besides the actions.
    """

    centre: Parameter
    radius: Parameter
    margin: float = 0.0
    dims: Sequence[int] = (0, 1)
    softness: float = 1.0
    between: int = 0

    def __call__(self, actions: Float[Tensor, "B H Da"], obs: Observations) -> Float[Tensor, "B"]:
        """Return the cost of every chunk."""
        points = refined(actions[..., list(self.dims)], self.between)
        centre = resolve(self.centre, obs, actions, vector=True)
        radius = resolve(self.radius, obs, actions, vector=False)
        # The norm has no gradient at the centre itself; torch's is zero there, not NaN.
        distance = torch.linalg.vector_norm(points - centre, dim=-1)
        return _half_square((radius + self.margin - distance) / self.softness).sum(-1)


@dataclass(frozen=True)
class JointLimits(Cost):
    """Half the squared excess of every action over its limits, summed over chunk and dimensions.

    Args:
        low: lower limits `[Da]`, or of the dimensions `dims`.
        high: upper limits, likewise.
        margin: how far inside the limits the cost begins.
        dims: the limited dimensions; None for all.
        softness: excess that costs half a nat.
    """

    low: Parameter
    high: Parameter
    margin: float = 0.0
    dims: Sequence[int] | None = None
    softness: float = 1.0

    def __call__(self, actions: Float[Tensor, "B H Da"], obs: Observations) -> Float[Tensor, "B"]:
        """Return the cost of every chunk."""
        values = actions if self.dims is None else actions[..., list(self.dims)]
        low = resolve(self.low, obs, actions, vector=True) + self.margin
        high = resolve(self.high, obs, actions, vector=True) - self.margin
        excess = torch.maximum(low - values, values - high) / self.softness
        return _half_square(excess).sum((-2, -1))


@dataclass(frozen=True)
class Goal(Cost):
    """Half the squared distance of one action of the chunk from a position.

    Args:
        position: where to be, `[k]`.
        step: index in the chunk; To - 1 is executed first, -1 is the last.
        dims: the k dimensions that are a position; None for all.
        softness: distance that costs half a nat.
    """

    position: Parameter
    step: int = -1
    dims: Sequence[int] | None = None
    softness: float = 1.0

    def __call__(self, actions: Float[Tensor, "B H Da"], obs: Observations) -> Float[Tensor, "B"]:
        """Return the cost of every chunk."""
        values = actions[:, [self.step]]
        values = values if self.dims is None else values[..., list(self.dims)]
        miss = (values - resolve(self.position, obs, actions, vector=True)) / self.softness
        return 0.5 * miss.square().sum((-2, -1))


@dataclass(frozen=True)
class Sum(Cost):
    """A weighted sum of costs.

    Args:
        costs: the terms.
        weights: the factor of each term; None for ones.
    """

    costs: Sequence[CostFunction]
    weights: Sequence[float] | None = None

    def __call__(self, actions: Float[Tensor, "B H Da"], obs: Observations) -> Float[Tensor, "B"]:
        """Return the cost of every chunk."""
        weights = self.weights or [1.0] * len(self.costs)
        terms = [w * cost(actions, obs) for w, cost in zip(weights, self.costs, strict=True)]
        return torch.stack(terms).sum(0)


def refined(points: Float[Tensor, "B H dims"], between: int) -> Float[Tensor, "B points dims"]:
    """Return the points with `between` more, equally spaced, on every way to the next."""
    if between == 0:
        return points

    ways = points[:, 1:] - points[:, :-1]
    parts = [points[:, :-1] + ways * (i / (between + 1)) for i in range(1, between + 1)]
    return torch.cat([points, *parts], 1)


def _half_square(excess: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return half the square of what is above 0."""
    return 0.5 * excess.clamp(min=0).square()

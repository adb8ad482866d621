"""Sets of acceptable chunks, each a projection: (actions `[B, H, Da]`, raw obs) -> the nearest.

A point of the set stays bitwise as it is. What has been projected lies in the set, so projecting
it again changes nothing. Parameters may differ from row to row (see `costs.resolve`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations
from .costs import Parameter, resolve

#: (actions `[B, H, Da]` in the data's units, raw obs) -> the nearest actions of a set.
Nearest = Callable[[Tensor, Observations], Tensor]

#: A largest change: a number, or one a dimension, for all rows or for each.
Step = Float[Tensor, "..."]

#: Relative distance by which points come to lie within a set, so that rounding leaves them there.
_WITHIN = 1e-5


class ConstraintSet(ABC):
    """A set of chunks, given by the projection onto it."""

    @abstractmethod
    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""


@dataclass(frozen=True)
class Box(ConstraintSet):
    """Limits `[Da]` on every action, e.g. of joints or of the workspace."""

    low: Parameter
    high: Parameter

    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""
        low = resolve(self.low, obs, actions, vector=True)
        high = resolve(self.high, obs, actions, vector=True)
        return actions.clamp(low, high)


@dataclass(frozen=True)
class Ball(ConstraintSet):
    """The inside of a disc or ball around `centre` `[k]`, in the action dimensions `dims`."""

    centre: Parameter
    radius: Parameter
    dims: Sequence[int] = (0, 1)

    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""
        return _radially(self, actions, obs, outside=False)


@dataclass(frozen=True)
class OutsideDisc(ConstraintSet):
    """The outside of a disc or ball around `centre` `[k]`, in the action dimensions `dims`.

    The set is not convex; the centre itself goes along the first dimension.
    """

    centre: Parameter
    radius: Parameter
    dims: Sequence[int] = (0, 1)

    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""
        return _radially(self, actions, obs, outside=True)


@dataclass(frozen=True)
class MaxStep(ConstraintSet):
    """A bound on the change of every dimension from one action to the next.

    The projection is found by Dykstra's alternation between the even and the odd pairs of
    neighbours, whose projections are exact, and ends with a sweep that leaves no pair apart.

    Args:
        step: largest change, a number or one a dimension `[Da]`, in the data's units.
        start: where the chunk starts from, `[Da]`; None leaves its first action free.
        first: index of the action that follows `start`; To - 1 is executed first. Earlier ones
            stay as they are.
        n_cycles: most cycles of the alternation.
    """

    step: Parameter
    start: Parameter | None = None
    first: int = 0
    n_cycles: int = 200

    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""
        step = resolve(self.step, obs, actions, vector=True)
        head = actions[:, : self.first]
        chain = actions[:, self.first :]
        sets = [lambda x: _pairs(x, step, 0), lambda x: _pairs(x, step, 1)]
        start = None
        if self.start is not None:
            start = resolve(self.start, obs, actions, vector=True).expand_as(chain[:, :1])
            anchor = start
            sets.append(lambda x: torch.cat([_near(x[:, :1], anchor, step), x[:, 1:]], 1))

        within = (_sweep(chain, start, step) == chain).all(-1).all(-1)
        if bool(within.all()):
            return actions

        nearest = _sweep(dykstra(sets, chain, self.n_cycles), start, step * (1 - _WITHIN))
        return torch.cat([head, torch.where(within[:, None, None], chain, nearest)], 1)


@dataclass(frozen=True)
class Intersection(ConstraintSet):
    """The actions that lie in all of several sets.

    Dykstra's alternation converges to the projection where the sets are convex (Boyle & Dykstra
    1986); with one that is not, it is the usual heuristic. Where the sets do not meet, the answer
    lies in the last of them.

    Args:
        sets: the sets.
        n_cycles: most cycles of the alternation.
    """

    sets: Sequence[Nearest]
    n_cycles: int = 100

    def __call__(
        self, actions: Float[Tensor, "B H Da"], obs: Observations
    ) -> Float[Tensor, "B H Da"]:
        """Return the nearest actions of the set."""

        def onto(one: Nearest) -> Callable[[Tensor], Tensor]:
            return lambda x: one(x, obs)

        return dykstra([onto(one) for one in self.sets], actions, self.n_cycles)


def dykstra(
    sets: Sequence[Callable[[Tensor], Tensor]],
    x: Float[Tensor, "*shape"],
    n_cycles: int,
    tolerance: float = 1e-6,
) -> Float[Tensor, "*shape"]:
    """Return the projection of x onto the intersection of convex sets.

    Args:
        sets: the projection onto each.
        x: what is projected.
        n_cycles: most cycles over the sets.
        tolerance: part of the largest entry; a cycle that moves nothing by more is the last one.
    """
    corrections = [torch.zeros_like(x) for _ in sets]
    enough = tolerance * float(x.detach().abs().max())

    for _ in range(n_cycles):
        before = x
        for i, project in enumerate(sets):
            moved = x + corrections[i]
            x = project(moved)
            corrections[i] = moved - x
        if float((x - before).detach().abs().max()) <= enough:
            break

    return x


def _radially(
    ball: Ball | OutsideDisc, actions: Float[Tensor, "B H Da"], obs: Observations, *, outside: bool
) -> Float[Tensor, "B H Da"]:
    """Move the actions on the wrong side of a ball's surface straight onto it."""
    dims = list(ball.dims)
    centre = resolve(ball.centre, obs, actions, vector=True)
    radius = resolve(ball.radius, obs, actions, vector=False).unsqueeze(-1)

    offset = actions[..., dims] - centre
    distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
    ahead = torch.zeros_like(offset)
    ahead[..., 0] = 1.0
    direction = torch.where(distance > 0, offset / distance.clamp(min=1e-12), ahead)

    wrong = distance < radius if outside else distance > radius
    rim = radius * (1 + _WITHIN if outside else 1 - _WITHIN)
    moved = actions.clone()
    moved[..., dims] = torch.where(wrong, centre + rim * direction, actions[..., dims])
    return moved


def _pairs(x: Float[Tensor, "B H Da"], step: Step, first: int) -> Float[Tensor, "B H Da"]:
    """Bring the pairs (first, first + 1), (first + 2, first + 3), ... within `step`."""
    last = first + (x.shape[1] - first) // 2 * 2
    left = x[:, first:last:2]
    right = x[:, first + 1 : last : 2]
    way = right - left
    excess = (way - way.clamp(-step, step)) / 2
    closer = torch.stack([left + excess, right - excess], 2).flatten(1, 2)
    return torch.cat([x[:, :first], closer, x[:, last:]], 1)


def _sweep(
    x: Float[Tensor, "B H Da"], start: Float[Tensor, "B 1 Da"] | None, step: Step
) -> Float[Tensor, "B H Da"]:
    """Go from the first action to the last and bring each within `step` of the one before."""
    reached = [x[:, :1] if start is None else _near(x[:, :1], start, step)]
    for k in range(1, x.shape[1]):
        reached.append(_near(x[:, k : k + 1], reached[-1], step))
    return torch.cat(reached, 1)


def _near(
    x: Float[Tensor, "B 1 Da"], anchor: Float[Tensor, "B 1 Da"], step: Step
) -> Float[Tensor, "B 1 Da"]:
    """Bring every x within `step` of its anchor."""
    return torch.minimum(torch.maximum(x, anchor - step), anchor + step)

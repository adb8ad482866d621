"""One evaluation of the network as guidance sees it, and what guidance is: an edit of x_0."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations


@dataclass
class Estimate:
    """The x_0 estimate at one evaluation, and all that an edit may ask about it.

    Attributes:
        sample: the present estimate of the normalised x_0, with the edits so far.
        x: the state x_t less the path's known base: alpha x_0 + sigma eps.
        t: the time.
        alpha: the factor of the data at that time.
        sigma: the factor of the noise.
        row: index of the evaluation in the sampler's table.
        n_rows: number of evaluations.
        obs: raw observations.
        to_actions: normalised chunk -> chunk in the data's units, differentiable.
        to_normalized: chunk in the data's units -> normalised.
        without_obs: returns the x_0 estimate at x from a network that sees no observation.
        mixes_columns: whether a number of the sample depends on several of the robot's, as where
            actions are written as steps or in the robot's frame.
    """

    sample: Float[Tensor, "B H Da"]
    x: Float[Tensor, "B H Da"]
    t: float
    alpha: float
    sigma: float
    row: int
    n_rows: int
    obs: Observations
    to_actions: Callable[[Tensor], Tensor]
    to_normalized: Callable[[Tensor], Tensor]
    without_obs: Callable[[], Tensor]
    mixes_columns: bool = False

    def vjp(self, cotangent: Float[Tensor, "B H Da"]) -> Float[Tensor, "B H Da"]:
        """Return (d sample / d x)^T cotangent, through the network and every edit before.

        Steps that are themselves gradients count as constants, so that those of several edits add
        up as scores do. Only edits with `needs_gradient` may ask: the network then ran with
        gradients on.
        """
        (product,) = torch.autograd.grad(self.sample, self.x, cotangent, retain_graph=True)
        return product


class Guidance(ABC):
    """Edits the x_0 estimate of every evaluation.

    The policy clamps what comes out; only the exact edits that stand last follow the clamp.

    Attributes:
        needs_gradient: True if it calls `Estimate.vjp`.
        needs_unconditional: True if it calls `Estimate.without_obs`.
        exact: True if its answer satisfies a constraint that a clamp could break.
    """

    needs_gradient: ClassVar[bool] = False
    needs_unconditional: ClassVar[bool] = False
    exact: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the new x_0 estimate."""


#: An edit of the x_0 estimate `[B, H, Da]`: a `Guidance`, or a function of that shape.
Edit = Callable[[Estimate], Tensor]


def declares(edits: tuple[Edit, ...], attribute: str) -> bool:
    """Return whether any edit declares `attribute`; plain functions declare nothing."""
    return any(getattr(edit, attribute, False) for edit in edits)

"""Apply edits to every x_0 estimate of a sampler, with gradients where an edit asks for them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..border import Crossing
from ..denoiser import Rows
from ..encoders.encoder import Observations
from ..errors import PolicyError
from ..sampling.table import RowEstimate
from .estimate import Edit, Estimate, declares


def guided(
    rows: Rows,
    seeing: RowEstimate,
    blind: RowEstimate | None,
    edits: tuple[Edit, ...],
    *,
    obs: Observations,
    crossing: Crossing,
) -> RowEstimate:
    """Return the x_0 estimate with the edits applied in order.

    The clamp stands before the exact edits at the end, which it would undo.

    Args:
        rows: the evaluations of the table.
        seeing: the estimate of the network.
        blind: that of the network without observations, if there is one.
        edits: what to apply.
        obs: raw observations.
        crossing: translates between the network's chunks and the robot's, and clamps.
    """
    gradient = declares(edits, "needs_gradient")
    soft, exact = _split(edits)
    clamp = crossing.clamp

    def estimate(k: int, state: Tensor) -> Tensor:
        """Return the edited estimate of row k."""
        x = state.clone().requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            now = Estimate(
                sample=seeing(k, x),
                x=x,
                t=rows.t[k],
                alpha=rows.alphas[k],
                sigma=rows.sigmas[k],
                row=k,
                n_rows=rows.table.n_evaluations,
                obs=obs,
                to_actions=crossing.to_actions,
                to_normalized=crossing.to_network,
                without_obs=partial(blind or _undeclared, k, x),
                mixes_columns=crossing.mixes_columns,
            )
            for edit in soft:
                now.sample = edit(now)

        now.sample = now.sample.detach().clone()
        if clamp is not None:
            now.sample = clamp(now.sample)
        for edit in exact:
            now.sample = edit(now)
        return now.sample

    return estimate


def _split(edits: tuple[Edit, ...]) -> tuple[tuple[Edit, ...], tuple[Edit, ...]]:
    """Divide the edits into those before the clamp and the exact ones at the end, after it."""
    cut = len(edits)
    while cut and getattr(edits[cut - 1], "exact", False):
        cut -= 1
    return edits[:cut], edits[cut:]


def _undeclared(k: int, x: Tensor) -> Tensor:
    raise PolicyError("an edit that calls without_obs must declare needs_unconditional = True")

"""The previous chunk as the start of a path: what is left of it when the next one is due."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

#: Fraction of the training chunks that start from nothing, as an episode does.
COLD = 0.1


def carried_on(chunk: Float[Tensor, "B H Da"], n_action_steps: int) -> Float[Tensor, "B H Da"]:
    """Return a chunk as it stands Ta steps later, its last action held."""
    rest = chunk[:, n_action_steps:]
    held = rest[:, -1:].expand(-1, chunk.shape[1] - rest.shape[1], -1)
    return torch.cat([rest, held], 1)


def handed_over(chunk: Float[Tensor, "B H Da"], n_action_steps: int) -> Float[Tensor, "B H Da"]:
    """Return a chunk as it stands Ta steps later, for a path that starts from it.

    Rows of NaN, which have no previous chunk, become zeros: the middle of the normalised range.
    """
    return carried_on(chunk, n_action_steps).nan_to_num(0.0)


def training_base(sample: Float[Tensor, "B H Da"], n_action_steps: int) -> Float[Tensor, "B H Da"]:
    """Return the base that a demonstrated chunk x_0 would have had.

    The demonstrator's previous chunk agrees with x_0 as far as it reached, H - Ta steps, and is
    held from there on. How far a policy's own chunk may stray is the path's `spread`.
    """
    reach = sample.shape[1] - n_action_steps
    held = sample[:, reach - 1 : reach].expand(-1, n_action_steps, -1)
    warm = torch.cat([sample[:, :reach], held], 1)
    cold = torch.rand(len(sample)) < COLD
    return torch.where(cold[:, None, None].to(sample.device), 0.0, warm)

"""The previous chunk as the start of a path: what is left of it when the next one is due."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

#: Fraction of the training chunks that start from nothing, as an episode does.
COLD = 0.1

#: The robot's chunks `[B, H, _]` -> the network's.
Write = Callable[[Tensor], Tensor]


def carried_on(
    chunk: Float[Tensor, "B H Da"], n_action_steps: int, write: Write
) -> Float[Tensor, "B H _"]:
    """Return a chunk as it stands Ta steps later, its last action held.

    Rows of NaN, which have no previous chunk, stay NaN.

    Args:
        chunk: of the robot's actions.
        n_action_steps: Ta.
        write: how the network has them at the present observations.
    """
    rest = chunk[:, n_action_steps:]
    held = rest[:, -1:].expand(-1, chunk.shape[1] - rest.shape[1], -1)
    return write(torch.cat([rest, held], 1))


def training_base(
    chunk: Float[Tensor, "B H Da"], n_action_steps: int, write: Write
) -> Float[Tensor, "B H _"]:
    """Return the base that a demonstrated chunk would have had.

    The demonstrator's previous chunk agrees with it as far as it reached, H - Ta steps, and is
    held from there on. How far a policy's own chunk may stray is the path's `spread`.

    Args:
        chunk: of the robot's actions.
        n_action_steps: Ta.
        write: how the network has them at the present observations.
    """
    reach = chunk.shape[1] - n_action_steps
    held = chunk[:, reach - 1 : reach].expand(-1, n_action_steps, -1)
    warm = write(torch.cat([chunk[:, :reach], held], 1))
    cold = torch.rand(len(chunk)) < COLD
    return torch.where(cold[:, None, None].to(warm.device), 0.0, warm)

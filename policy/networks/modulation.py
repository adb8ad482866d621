"""adaLN modulations in two parts, of time and of observation (DiT, 2212.09748)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .backbone import initialise_zero


class Modulation(nn.Module):
    """n modulations of `width` channels each, for every block of a network at once.

    The sum of the two parts shifts, scales and gates the blocks. Both parts start at zero
    (adaLN-Zero), so the modulations start at `identity`: 1 for a scale, 0 for a shift or a gate.

    Args:
        time_dim: size of the embedding of time.
        cond_dim: size of the embedding of the observation.
        width: channels of one modulation.
        identity: the n starting values.
    """

    identity: Tensor

    def __init__(self, time_dim: int, cond_dim: int, width: int, identity: Sequence[float]) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Linear(time_dim, len(identity) * width)
        self.cond = nn.Linear(cond_dim, len(identity) * width, bias=False)
        self.register_buffer("identity", torch.tensor(identity).unsqueeze(-1), persistent=False)

    def times(self, embedding: Tensor) -> Tensor:
        """Embedded times `[..., E]` to their part, `[..., n, width]`."""
        part: Tensor = self.time(embedding)
        return part.view(*embedding.shape[:-1], -1, self.width) + self.identity

    def condition(self, embedding: Tensor) -> Tensor:
        """Embedded observations `[..., E]` to their part, `[..., n, width]`."""
        part: Tensor = self.cond(embedding)
        return part.view(*embedding.shape[:-1], -1, self.width)

    def initialise(self, n_open: int = 0) -> None:
        """Zero all but the first `n_open` modulations, which pass the embeddings from the start."""
        initialise_zero(self.time, self.cond)
        for layer in (self.time, self.cond):
            nn.init.xavier_uniform_(layer.weight[: n_open * self.width])

"""adaLN modulations in two parts, of time and of observation (Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .initialisation import initialise_zero


class TimeModulation(nn.Module):
    """n modulations of `width` channels each, for every block of a network at once.

    They shift, scale and gate the blocks. They start at zero (adaLN-Zero) plus `identity`: 1 for a
    scale, 0 for a shift or a gate.

    Args:
        time_dim: size of the embedding of time.
        width: channels of one modulation.
        identity: the n starting values.
    """

    identity: Tensor

    def __init__(self, time_dim: int, width: int, identity: Sequence[float]) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Linear(time_dim, len(identity) * width)
        self.register_buffer("identity", torch.tensor(identity).unsqueeze(-1), persistent=False)

    def times(self, embedding: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch n width"]:
        """Return the time's part, identity included, for embedded times."""
        part: Tensor = self.time(embedding)
        return part.view(*embedding.shape[:-1], -1, self.width) + self.identity

    def initialise(self, n_open: int = 0) -> None:
        """Zero all but the first `n_open` modulations, which pass the embeddings from the start."""
        _open(self.time, n_open * self.width)


class Modulation(TimeModulation):
    """Modulations of time and observation: the sum of two parts, either of which starts at zero.

    Args:
        time_dim: size of the embedding of time.
        cond_dim: size of the embedding of the observation.
        width: channels of one modulation.
        identity: the n starting values.
    """

    def __init__(self, time_dim: int, cond_dim: int, width: int, identity: Sequence[float]) -> None:
        super().__init__(time_dim, width, identity=identity)
        self.cond = nn.Linear(cond_dim, len(identity) * width, bias=False)

    def condition(self, embedding: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch n width"]:
        """Return the observation's part for embedded observations."""
        part: Tensor = self.cond(embedding)
        return part.view(*embedding.shape[:-1], -1, self.width)

    def initialise(self, n_open: int = 0) -> None:
        super().initialise(n_open)
        _open(self.cond, n_open * self.width)


def _open(layer: nn.Linear, n_outputs: int) -> None:
    """Let the first `n_outputs` outputs see the inputs and set the others to zero."""
    initialise_zero(layer)
    nn.init.xavier_uniform_(layer.weight[:n_outputs])

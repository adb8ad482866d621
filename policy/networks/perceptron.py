"""What the networks have in common that read the chunk as one vector."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from .backbone import Backbone
from .layers.embeddings import TimeEmbedding, Times


class ChunkPerceptron(Backbone):
    """A perceptron on the flattened chunk; where times differ between tokens it reads all H.

    Args:
        action_dim: Da.
        horizon: H; any length.
        time_dim: size of the sinusoid; even.
        token_dim: size of one token's time embedding.
    """

    def __init__(self, action_dim: int, horizon: int, time_dim: int, token_dim: int) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.horizon = horizon
        self.time = TimeEmbedding(
            time_dim, 2 * time_dim, output_dim=token_dim, activation=nn.SiLU()
        )

    def _tokens_times(self, t: Times) -> Float[Tensor, "B flat"]:
        """Return the time embeddings of all tokens, side by side."""
        embedding: Tensor = self.time(t)
        return embedding.expand(-1, self.horizon, -1).flatten(1)

    def _chunk(self, flat: Tensor) -> Tensor:
        return flat.view(-1, self.horizon, self.action_dim)

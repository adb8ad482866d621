"""The constructor that the three diffusion transformers share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from .layers.attention import check_heads
from .layers.embeddings import TimeEmbedding
from .tokens import TokenNetwork


class DiffusionTransformer(TokenNetwork):
    """A transformer on the chunk's actions (Peebles & Xie 2023).

    The paper compares ways to let such a network know the time and the condition; each of them is
    a subclass, which names its `block` and makes its own layers for the observations.

    Args:
        action_dim: Da.
        horizon: H; any length.
        cond_dim: Dc, size of one step's encoded observation.
        n_obs_steps: To.
        width: size of a token.
        depth: number of blocks.
        n_heads: attention heads; divides `width`.
        mlp_ratio: hidden size of a block's perceptron over `width`.
        time_dim: size of the sinusoid; even.

    Raises:
        PolicyError: `n_heads` does not divide `width`.
    """

    #: Makes a block from its width, its number of heads and the hidden size of its perceptron.
    block: ClassVar[type[nn.Module]]

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 128,
        depth: int = 6,
        n_heads: int = 4,
        mlp_ratio: float = 4.0,
        time_dim: int = 128,
    ) -> None:
        super().__init__()
        check_heads(type(self).__name__, width, n_heads)
        self.n_heads = n_heads
        self.time = TimeEmbedding(time_dim, width, output_dim=width, activation=nn.SiLU())
        self._add_condition(cond_dim, n_obs_steps, width=width, depth=depth)

        hidden = round(width * mlp_ratio)
        blocks = (self.block(width, n_heads, hidden_dim=hidden) for _ in range(depth))
        self._add_tokens(action_dim, horizon, width=width, blocks=blocks)

    @abstractmethod
    def _add_condition(self, cond_dim: int, n_obs_steps: int, width: int, depth: int) -> None:
        """Make the layers that read the observations."""

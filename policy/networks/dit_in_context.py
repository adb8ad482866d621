"""DiT with in-context conditioning (Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import EncoderBlock, check_heads
from .backbone import Backbone, initialise_linears, initialise_positions, initialise_zero
from .embeddings import TimeEmbedding


class InContextDiT(Backbone):
    """A plain transformer on [time, observations, actions]; the actions' tokens are the answer.

    The time is one token and every step of the observation history another, before the chunk's
    and treated no differently. Where times differ between tokens, the time token is their mean
    embedding and every action gets what its own differs from it, added to its input.

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
        check_heads("InContextDiT", width, n_heads)
        self.horizon = horizon
        self.time = TimeEmbedding(time_dim, width, width, nn.SiLU())
        self.cond = nn.Linear(cond_dim, width)
        self.input = nn.Linear(action_dim, width)
        # Of the observations, then of the actions; the time token is told apart by its biases.
        self.cond_position = nn.Parameter(torch.empty(1, n_obs_steps, width))
        self.position = nn.Parameter(torch.empty(1, horizon, width))
        self.blocks = nn.ModuleList(
            EncoderBlock(width, n_heads, round(width * mlp_ratio)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, action_dim)
        self._initialise()

    def times(self, t: Tensor) -> Tensor:
        """t `[B]` or `[B, H]` to embeddings `[B, 1 | H, width]`."""
        embedding: Tensor = self.time(t)
        return embedding

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to the observations' tokens, `[B, To, width]`."""
        tokens: Tensor = self.cond(cond) + self.cond_position
        return tokens

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        actions = self.input(x) + self.position
        time = times
        if times.shape[1] > 1:
            time = times.mean(1, keepdim=True)
            actions = actions + (times - time)
        context = (token.expand(len(x), -1, -1) for token in (time, condition))
        h = torch.cat([*context, actions], dim=1)
        for block in self.blocks:
            h = block(h)
        chunk: Tensor = self.output(self.norm(h[:, -self.horizon :]))
        return chunk

    def _initialise(self) -> None:
        initialise_linears(self)
        initialise_positions(self.position, self.cond_position)
        initialise_zero(self.output)

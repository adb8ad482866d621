"""Residual perceptron on chunk, time and observation, concatenated."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import Backbone, initialise_inputs, initialise_linears, initialise_zero
from .embeddings import TimeEmbedding


class ConcatenationMLP(Backbone):
    """The plainest conditioning: the first layer sees [chunk, embedded time, observations].

    That layer is a sum of three, one on each part, so the times' is computed once a table and the
    observations' once a chunk. Pre-norm residual blocks follow, which know of neither.

    Args:
        action_dim: Da.
        horizon: H; any length.
        cond_dim: Dc, size of one step's encoded observation.
        n_obs_steps: To.
        width: size of the residual stream.
        depth: number of blocks.
        expansion: hidden size of a block over `width`.
        time_dim: size of the sinusoid; even.
        token_dim: size of one token's time embedding.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 384,
        depth: int = 4,
        expansion: float = 1.0,
        time_dim: int = 64,
        token_dim: int = 16,
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.action_dim = action_dim
        self.time = TimeEmbedding(time_dim, 2 * time_dim, token_dim, nn.SiLU())
        self.input = nn.Linear(horizon * action_dim, width)
        self.time_input = nn.Linear(horizon * token_dim, width, bias=False)
        self.cond_input = nn.Linear(n_obs_steps * cond_dim, width, bias=False)
        hidden = round(width * expansion)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, hidden),
                nn.SiLU(),
                nn.Linear(hidden, width),
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, horizon * action_dim)
        initialise_linears(self)
        initialise_inputs(self.input, self.time_input, self.cond_input)
        initialise_zero(self.output)

    def times(self, t: Tensor) -> Tensor:
        """t `[B]` or `[B, H]` to the time's part of the first layer, `[B, width]`."""
        tokens = self.time(t).expand(-1, self.horizon, -1).flatten(1)
        part: Tensor = self.time_input(F.silu(tokens))
        return part

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to the observation's part of the first layer, `[B, width]`."""
        part: Tensor = self.cond_input(cond.flatten(1))
        return part

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        h = self.input(x.flatten(1)) + times + condition
        for block in self.blocks:
            h = h + block(h)
        chunk: Tensor = self.output(self.norm(h))
        return chunk.view(-1, self.horizon, self.action_dim)

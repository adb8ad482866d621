"""Networks whose blocks work on the chunk's tokens and are modulated by time and observation."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import Backbone, initialise_linears, initialise_positions, initialise_zero
from .embeddings import ConditionEmbedding, TimeEmbedding
from .modulation import Modulation

BLOCK_IDENTITY = (0.0, 1.0, 0.0) * 2
"""The modulations that leave a block unchanged: (shift, scale, gate), for each of its two parts."""


class ModulatedTokens(Backbone):
    """adaLN-Zero (Peebles & Xie 2023): time and observation only shift, scale and gate the blocks.

    DiT modulates by Linear(SiLU(e_t + e_cond)); here it is Linear(SiLU(e_t)) +
    Linear(SiLU(e_cond)), so that the two parts are computed apart, for all blocks at once, and one
    evaluation only adds them. A time per token modulates its token.

    Args:
        action_dim: Da.
        horizon: H; any length.
        cond_dim: Dc, size of one step's encoded observation.
        n_obs_steps: To.
        width: size of a token.
        depth: number of blocks.
        time_dim: size of the sinusoid; even.
        block: makes a block, `block(h [B, H, width], 6 modulations) -> [B, H, width]`.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int,
        depth: int,
        time_dim: int,
        block: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.width = width
        self.time = TimeEmbedding(time_dim, width, width, nn.SiLU())
        self.cond = ConditionEmbedding(cond_dim, n_obs_steps, width)
        # After the blocks', (shift, scale) at the head.
        self.modulation = Modulation(width, width, width, (*BLOCK_IDENTITY * depth, 0.0, 1.0))
        self.input = nn.Linear(action_dim, width)
        self.position = nn.Parameter(torch.empty(1, horizon, width))
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.output = nn.Linear(width, action_dim)
        self._initialise()

    def times(self, t: Tensor) -> Tensor:
        """t `[B]` or `[B, H]` to the time's part of every modulation, `[B, 1 | H, n, width]`."""
        return self.modulation.times(F.silu(self.time(t)))

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to the observation's part, `[B, 1, n, width]`."""
        return self.modulation.condition(self.cond(cond).unsqueeze(1))

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        *modulations, shift, scale = (times + condition).unbind(-2)
        h = self.input(x) + self.position
        for i, block in enumerate(self.blocks):
            h = block(h, modulations[6 * i : 6 * i + 6])
        h = torch.addcmul(shift, F.layer_norm(h, (self.width,)), scale)
        chunk: Tensor = self.output(h)
        return chunk

    def _initialise(self) -> None:
        """Every block is the identity and the head returns zero."""
        initialise_linears(self)
        initialise_positions(self.position)
        self.modulation.initialise()
        initialise_zero(self.output)

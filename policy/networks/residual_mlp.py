"""Residual perceptron on the flattened chunk, modulated by time and observation."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import Backbone, initialise_linears, initialise_zero
from .embeddings import ConditionEmbedding, TimeEmbedding
from .modulation import Modulation


class ResidualBlock(nn.Module):
    """h + gate * W2 SiLU(W1 (scale * LayerNorm(h) + shift)), all `[B, width]`.

    Without biases: the shift, which has one, stands before W1.
    """

    def __init__(self, width: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.expand = nn.Linear(width, hidden_dim, bias=False)
        self.contract = nn.Linear(hidden_dim, width, bias=False)

    def forward(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        y = torch.addcmul(shift, torch.layer_norm(h, self.shape), scale)
        expand, contract = self._modules.values()
        return torch.addcmul(h, gate, _linear(F.silu(_linear(y, expand)), contract))


def _linear(x: Tensor, layer: nn.Module | None) -> Tensor:
    """The Linear `layer`, past `nn.Module.__call__` and `__getattr__`.

    At batch one they took 55 of an evaluation's 180 microseconds (the products: 85).
    """
    weight, bias = cast(nn.Module, layer)._parameters.values()
    return F.linear(x, cast(Tensor, weight), bias)


class ResidualMLP(Backbone):
    """Pre-norm residual perceptron with adaLN-Zero modulation (Peebles & Xie 2023) on whole chunks.

    The smallest network that suffices for state observations: one evaluation for one robot is
    `2 depth + 2` matrix-vector products. Everything that depends on the time or the observation
    is a modulation, computed for all blocks at once: the time's part in `times`, the
    observation's in `condition`, and their sum in `denoise`.

    Args:
        action_dim: Da.
        horizon: H; any length.
        cond_dim: Dc, size of one step's encoded observation.
        n_obs_steps: To.
        width: size of the residual stream.
        depth: number of blocks.
        expansion: hidden size of a block over `width`.
        cond_embed_dim: size of the embedding of the observation.
        time_embed_dim: size of the embedding of the time; small, for it holds one number a token.
        time_dim: size of the sinusoid; even.
        token_dim: size of one token's time embedding before the H of them are mixed.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 256,
        depth: int = 4,
        expansion: float = 1.0,
        cond_embed_dim: int = 128,
        time_embed_dim: int = 32,
        time_dim: int = 64,
        token_dim: int = 16,
    ) -> None:
        super().__init__()
        self.action_dim = action_dim
        self.horizon = horizon
        self.width = width
        self.time = TimeEmbedding(time_dim, 2 * time_dim, token_dim, nn.SiLU())
        self.time_mix = nn.Linear(horizon * token_dim, time_embed_dim)
        self.cond = ConditionEmbedding(cond_dim, n_obs_steps, cond_embed_dim, (width, width))
        # A shift at the input, (shift, scale, gate) for each block, (shift, scale) at the head.
        identity = (0.0, *(0.0, 1.0, 0.0) * depth, 0.0, 1.0)
        self.modulation = Modulation(time_embed_dim, cond_embed_dim, width, identity)
        self.input = nn.Linear(horizon * action_dim, width, bias=False)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, round(width * expansion)) for _ in range(depth)
        )
        self.output = nn.Linear(width, horizon * action_dim)
        self._initialise()

    def times(self, t: Tensor) -> Tensor:
        """t `[B]` or `[B, H]` to the time's part of every modulation, `[B, n, width]`."""
        tokens = self.time(t).expand(-1, self.horizon, -1).flatten(1)
        return self.modulation.times(F.silu(self.time_mix(tokens)))

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to the observation's part of every modulation, `[B, n, width]`."""
        return self.modulation.condition(self.cond(cond))

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        shift, *blocks, head_shift, head_scale = (times + condition).unbind(1)
        h = _linear(x.flatten(1), self.input) + shift
        for i, block in enumerate(self.blocks):
            # forward, not __call__, for the reason given in _linear
            h = block.forward(h, *blocks[3 * i : 3 * i + 3])
        h = torch.addcmul(head_shift, torch.layer_norm(h, (self.width,)), head_scale)
        return _linear(h, self.output).view(-1, self.horizon, self.action_dim)

    def _initialise(self) -> None:
        """Every block is the identity and the head returns zero."""
        initialise_linears(self)
        # The shift at the input gates nothing: it carries time and observation from the start.
        self.modulation.initialise(n_open=1)
        initialise_zero(self.output)

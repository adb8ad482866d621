"""Residual perceptron on the flattened chunk, modulated by time and observation."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .layers.embeddings import ConditionEmbedding, Times
from .layers.initialisation import initialise_linears, initialise_zero
from .layers.modulation import Modulation
from .perceptron import ChunkPerceptron


class ResidualBlock(nn.Module):
    """h + gate * W2 SiLU(W1 (scale * LayerNorm(h) + shift)).

    Without biases: the shift, which has one, stands before W1.

    Args:
        width: size of the residual stream.
        hidden_dim: hidden size of the block.
    """

    def __init__(self, width: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.expand = nn.Linear(width, hidden_dim, bias=False)
        self.contract = nn.Linear(hidden_dim, width, bias=False)

    def forward(
        self,
        h: Float[Tensor, "B width"],
        shift: Float[Tensor, "#B width"],
        scale: Float[Tensor, "#B width"],
        gate: Float[Tensor, "#B width"],
    ) -> Float[Tensor, "B width"]:
        """Return the residual stream after the block."""
        expand, contract = self._modules.values()
        y = torch.addcmul(shift, torch.layer_norm(h, self.shape), scale)
        return torch.addcmul(h, gate, _linear(F.silu(_linear(y, expand)), contract))


def _linear(x: Tensor, layer: nn.Module | None) -> Tensor:
    """Apply the Linear `layer` without `nn.Module.__call__` and `__getattr__`.

    At batch one they took 55 of an evaluation's 180 microseconds (the products: 85).
    """
    weight, bias = cast(nn.Module, layer)._parameters.values()
    return F.linear(x, cast(Tensor, weight), bias)


class ResidualMLP(ChunkPerceptron):
    """Pre-norm residual perceptron with adaLN-Zero modulation (Peebles & Xie 2023) on whole chunks.

    The smallest network that suffices for state observations: one evaluation for one robot is
    `2 depth + 2` matrix-vector products. Everything that depends on the time or the observation
    is a modulation, computed for all blocks at once: the time's part in `times`, the
    observation's in `condition`, and their sum in `denoise`.

    Args:
        action_dim, horizon, cond_dim, n_obs_steps: the sizes Da, H, Dc, To; any horizon.
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
        super().__init__(action_dim, horizon, time_dim=time_dim, token_dim=token_dim)
        self.shape = (width,)
        self.time_mix = nn.Linear(horizon * token_dim, time_embed_dim)
        self.cond = ConditionEmbedding(
            cond_dim, n_obs_steps, output_dim=cond_embed_dim, hidden_dims=(width, width)
        )
        # A shift at the input, (shift, scale, gate) for each block, (shift, scale) at the head.
        identity = (0.0, *(0.0, 1.0, 0.0) * depth, 0.0, 1.0)
        self.modulation = Modulation(time_embed_dim, cond_embed_dim, width=width, identity=identity)

        self.input = nn.Linear(horizon * action_dim, width, bias=False)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, round(width * expansion)) for _ in range(depth)
        )
        self.output = nn.Linear(width, horizon * action_dim)
        self._initialise()

    def times(self, t: Times) -> Float[Tensor, "B n width"]:
        """Return the time's part of every modulation."""
        return self.modulation.times(F.silu(self.time_mix(self._tokens_times(t))))

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B n width"]:
        """Return the observation's part of every modulation."""
        return self.modulation.condition(self.cond(cond))

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B n width"],
        condition: Float[Tensor, "#B n width"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        shift, *of_blocks, head_shift, head_scale = (times + condition).unbind(1)
        h = _linear(x.flatten(1), self.input) + shift
        for i, block in enumerate(self.blocks):
            # forward, not __call__, for the reason given in _linear
            h = block.forward(h, *of_blocks[3 * i : 3 * i + 3])

        h = torch.addcmul(head_shift, torch.layer_norm(h, self.shape), head_scale)
        return self._chunk(_linear(h, self.output))

    def _initialise(self) -> None:
        """Make every block the identity and the head zero."""
        initialise_linears(self)
        # The shift at the input gates nothing: it carries time and observation from the start.
        self.modulation.initialise(n_open=1)
        initialise_zero(self.output)

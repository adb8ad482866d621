"""DiT with cross-attention to the observations (Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import check_heads, cross_attention, split_keys_and_values
from .backbone import Backbone, initialise_linears, initialise_positions, initialise_zero
from .dit import TransformerBlock
from .embeddings import TimeEmbedding
from .modulated_tokens import BLOCK_IDENTITY
from .modulation import TimeModulation


class CrossAttentionBlock(TransformerBlock):
    """A DiT block with cross-attention between its two parts; `[B, H, width]`."""

    def __init__(self, width: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__(width, n_heads, hidden_dim)
        self.cross_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.cross_project = nn.Linear(width, width)

    def forward(  # type: ignore[override]
        self, h: Tensor, modulation: Sequence[Tensor], key: Tensor, value: Tensor
    ) -> Tensor:
        h = self._attend(h, *modulation[:3])
        mixed = cross_attention(self.query(self.cross_norm(h)), key, value)
        return self._perceive(h + self.cross_project(mixed), *modulation[3:])


class CrossAttentionDiT(Backbone):
    """DiT that is modulated by the time and attends to the steps of the observation history.

    Each step is a token, whose keys and values for all blocks are computed once a chunk. Time
    acts through adaLN-Zero, as in PixArt-alpha (Chen et al. 2024c): a memory that does not depend
    on it holds for all evaluations. `Transformer` with `causal=False` has the time in the memory.

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
        check_heads("CrossAttentionDiT", width, n_heads)
        self.shape = (width,)
        self.n_heads = n_heads
        self.time = TimeEmbedding(time_dim, width, width, nn.SiLU())
        self.modulation = TimeModulation(width, width, (*BLOCK_IDENTITY * depth, 0.0, 1.0))
        self.cond = nn.Linear(cond_dim, width)
        self.cond_position = nn.Parameter(torch.empty(1, n_obs_steps, width))
        self.cond_norm = nn.LayerNorm(width)
        self.keys_values = nn.Linear(width, depth * 2 * width)
        self.input = nn.Linear(action_dim, width)
        self.position = nn.Parameter(torch.empty(1, horizon, width))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(width, n_heads, round(width * mlp_ratio)) for _ in range(depth)
        )
        self.output = nn.Linear(width, action_dim)
        self._initialise()

    def times(self, t: Tensor) -> Tensor:
        """t `[B]` or `[B, H]` to every modulation, `[B, 1 | H, n, width]`."""
        return self.modulation.times(F.silu(self.time(t)))

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to keys and values, `[B, To, depth 2 width]`."""
        tokens = self.cond_norm(self.cond(cond) + self.cond_position)
        features: Tensor = self.keys_values(tokens)
        return features

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        *modulations, shift, scale = times.unbind(-2)
        memory = condition.expand(len(x), -1, -1)
        heads = split_keys_and_values(memory, len(self.blocks), self.n_heads)
        h = self.input(x) + self.position
        for i, (block, (key, value)) in enumerate(zip(self.blocks, heads.unbind(), strict=True)):
            h = block(h, modulations[6 * i : 6 * i + 6], key, value)
        h = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        chunk: Tensor = self.output(h)
        return chunk

    def _initialise(self) -> None:
        """Every block is the identity and the head returns zero."""
        initialise_linears(self)
        initialise_positions(self.position, self.cond_position)
        self.modulation.initialise()
        for block in self.blocks:
            assert isinstance(block, CrossAttentionBlock)
            initialise_zero(block.cross_project)
        initialise_zero(self.output)

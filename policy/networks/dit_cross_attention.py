"""DiT with cross-attention to the observations (Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .diffusion_transformer import DiffusionTransformer
from .dit import TransformerBlock
from .layers.attention import cross_attention, split_keys_and_values
from .layers.initialisation import initialise_positions, initialise_zero
from .layers.modulation import TimeModulation
from .modulated_tokens import ModulatedTokens, modulation_identity


class CrossAttentionBlock(TransformerBlock):
    """A DiT block with cross-attention between its two parts; arguments as there."""

    def __init__(self, width: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__(width, n_heads, hidden_dim=hidden_dim)
        self.cross_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.cross_project = nn.Linear(width, width)

    def forward(  # type: ignore[override]
        self,
        h: Float[Tensor, "B H width"],
        modulation: Sequence[Float[Tensor, "#B #H width"]],
        key: Float[Tensor, "B heads To head"],
        value: Float[Tensor, "B heads To head"],
    ) -> Float[Tensor, "B H width"]:
        """Return the tokens after the block; its 6 modulations are (shift, scale, gate) twice."""
        h = self._attend(h, *modulation[:3])
        mixed = cross_attention(self.query(self.cross_norm(h)), key, value)
        return self._perceive(h + self.cross_project(mixed), *modulation[3:])


class CrossAttentionDiT(ModulatedTokens, DiffusionTransformer):
    """DiT that is modulated by the time and attends to the steps of the observation history.

    Each step is a token, whose keys and values for all blocks are computed once a chunk. Time
    acts through adaLN-Zero, as in PixArt-alpha (Chen et al. 2024): a memory that does not depend
    on it holds for all evaluations. `Transformer` with `causal=False` has the time in the memory.

    Its arguments are those of DiffusionTransformer.
    """

    block = CrossAttentionBlock

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B To keys_values"]:
        """Return the keys and values of all blocks, side by side."""
        tokens = self.cond_norm(self.cond(cond) + self.cond_position)
        features: Tensor = self.keys_values(tokens)
        return features

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B #H n width"],
        condition: Float[Tensor, "#B To keys_values"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        memory = condition.expand(len(x), -1, -1)
        heads = split_keys_and_values(memory, len(self.blocks), self.n_heads)
        return self._modulated(x, times, [tuple(pair) for pair in heads.unbind()])

    def _add_condition(self, cond_dim: int, n_obs_steps: int, width: int, depth: int) -> None:
        self.modulation = TimeModulation(width, width, identity=modulation_identity(depth))
        self.cond = nn.Linear(cond_dim, width)
        self.cond_position = nn.Parameter(torch.empty(1, n_obs_steps, width))
        self.cond_norm = nn.LayerNorm(width)
        self.keys_values = nn.Linear(width, depth * 2 * width)

    def _initialise(self) -> None:
        super()._initialise()
        initialise_positions(self.cond_position)
        for block in self.blocks:
            assert isinstance(block, CrossAttentionBlock)
            initialise_zero(block.cross_project)

"""Diffusion transformer with adaLN-Zero (Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .diffusion_transformer import DiffusionTransformer
from .layers.attention import self_attention
from .modulated_tokens import ModulatedTokens


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and perceptron, each shifted, scaled and gated.

    Args:
        width: size of a token.
        n_heads: attention heads.
        hidden_dim: hidden size of the perceptron.
    """

    def __init__(self, width: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.expand = nn.Linear(width, hidden_dim)
        self.contract = nn.Linear(hidden_dim, width)

    def forward(
        self, h: Float[Tensor, "B H width"], modulation: Sequence[Float[Tensor, "#B #H width"]]
    ) -> Float[Tensor, "B H width"]:
        """Return the tokens after the block; its 6 modulations are (shift, scale, gate) twice."""
        return self._perceive(self._attend(h, *modulation[:3]), *modulation[3:])

    def _attend(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Let every token attend to every other."""
        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        y = self.project(self_attention(self.qkv(y), self.n_heads))
        return torch.addcmul(h, gate, y)

    def _perceive(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Add the perceptron's output to every token."""
        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        y = self.contract(F.gelu(self.expand(y), approximate="tanh"))
        return torch.addcmul(h, gate, y)


class DiT(ModulatedTokens, DiffusionTransformer):
    """Transformer on which time and observation act only through adaLN (see ModulatedTokens).

    Its arguments are those of DiffusionTransformer.
    """

    block = TransformerBlock

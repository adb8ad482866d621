"""Diffusion transformer over the tokens of a chunk, adaLN-Zero (Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import check_heads, self_attention
from .modulated_tokens import ModulatedTokens


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and perceptron, each shifted, scaled and gated; `[B, H, width]`."""

    def __init__(self, width: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.expand = nn.Linear(width, hidden_dim)
        self.contract = nn.Linear(hidden_dim, width)

    def forward(self, h: Tensor, modulation: Sequence[Tensor]) -> Tensor:
        return self._perceive(self._attend(h, *modulation[:3]), *modulation[3:])

    def _attend(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Every token attends to every other."""
        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        y = self.project(self_attention(self.qkv(y), self.n_heads))
        return torch.addcmul(h, gate, y)

    def _perceive(self, h: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        y = self.contract(F.gelu(self.expand(y), approximate="tanh"))
        return torch.addcmul(h, gate, y)


class DiT(ModulatedTokens):
    """Transformer whose tokens are the chunk's actions, with a learned position each.

    Time and observation act only through adaLN (see ModulatedTokens).

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
        check_heads("DiT", width, n_heads)
        hidden = round(width * mlp_ratio)
        super().__init__(
            action_dim,
            horizon,
            cond_dim,
            n_obs_steps,
            width,
            depth,
            time_dim,
            block=lambda: TransformerBlock(width, n_heads, hidden),
        )

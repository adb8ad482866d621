"""Diffusion transformer over the tokens of a chunk, adaLN-Zero (Peebles & Xie, 2212.09748)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import PolicyError
from .backbone import Backbone, initialise_linears, initialise_zero
from .embeddings import ConditionEmbedding, TimeEmbedding
from .modulation import Modulation


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and perceptron, each shifted, scaled and gated; `[B, H, width]`."""

    identity = (0.0, 1.0, 0.0) * 2
    """The modulations that leave the block unchanged: (shift, scale, gate), twice."""

    def __init__(self, width: int, n_heads: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.expand = nn.Linear(width, hidden_dim)
        self.contract = nn.Linear(hidden_dim, width)

    def forward(self, h: Tensor, modulation: Sequence[Tensor]) -> Tensor:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation
        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale)
        h = torch.addcmul(h, gate, self._attend(y))
        y = torch.addcmul(mlp_shift, F.layer_norm(h, self.shape), mlp_scale)
        y = self.contract(F.gelu(self.expand(y), approximate="tanh"))
        return torch.addcmul(h, mlp_gate, y)

    def _attend(self, h: Tensor) -> Tensor:
        """Every token attends to every other, `[B, H, width]`."""
        batch, horizon, width = h.shape
        qkv = self.qkv(h).view(batch, horizon, 3, self.n_heads, width // self.n_heads)
        query, key, value = qkv.transpose(1, 3).unbind(2)
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, horizon, width))
        return projected


class DiT(Backbone):
    """Transformer whose tokens are the chunk's actions, with a learned position each.

    Time and observation act only through adaLN. DiT modulates by Linear(SiLU(e_t + e_cond)); here
    it is Linear(SiLU(e_t)) + Linear(SiLU(e_cond)), so that the two parts are computed apart, for
    all blocks at once, and one evaluation only adds them. A time per token modulates its token.

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
        if width % n_heads:
            raise PolicyError(f"DiT: width={width} is not a multiple of n_heads={n_heads}")
        self.width = width
        self.time = TimeEmbedding(time_dim, width, width, nn.SiLU())
        self.cond = ConditionEmbedding(cond_dim, n_obs_steps, width)
        # After the blocks', (shift, scale) at the head.
        self.modulation = Modulation(
            width, width, width, (*TransformerBlock.identity * depth, 0.0, 1.0)
        )
        self.input = nn.Linear(action_dim, width)
        self.position = nn.Parameter(torch.empty(1, horizon, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, n_heads, round(width * mlp_ratio)) for _ in range(depth)
        )
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
        nn.init.normal_(self.position, std=0.02)
        self.modulation.initialise()
        initialise_zero(self.output)

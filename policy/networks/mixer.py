"""MLP-Mixer over the tokens of a chunk and their channels (Tolstikhin et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .layers.embeddings import TimeEmbedding
from .modulated_tokens import ModulatedTokens


class MixerBlock(nn.Module):
    """A perceptron across the tokens of each channel, then one across the channels of each token.

    Both are pre-norm, and shifted, scaled and gated.

    Args:
        horizon: H, the number of tokens.
        width: size of a token.
        token_hidden_dim: hidden size of the perceptron across tokens.
        hidden_dim: hidden size of the perceptron across channels.
    """

    def __init__(self, horizon: int, width: int, token_hidden_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.shape = (width,)
        self.token_expand = nn.Linear(horizon, token_hidden_dim)
        self.token_contract = nn.Linear(token_hidden_dim, horizon)
        self.expand = nn.Linear(width, hidden_dim)
        self.contract = nn.Linear(hidden_dim, width)

    def forward(
        self, h: Float[Tensor, "B H width"], modulation: Sequence[Float[Tensor, "#B #H width"]]
    ) -> Float[Tensor, "B H width"]:
        """Return the tokens after the block; its 6 modulations are (shift, scale, gate) twice."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation

        y = torch.addcmul(shift, F.layer_norm(h, self.shape), scale).transpose(1, 2)
        y = self.token_contract(F.gelu(self.token_expand(y), approximate="tanh"))
        h = torch.addcmul(h, gate, y.transpose(1, 2))

        y = torch.addcmul(mlp_shift, F.layer_norm(h, self.shape), mlp_scale)
        y = self.contract(F.gelu(self.expand(y), approximate="tanh"))
        return torch.addcmul(h, mlp_gate, y)


class Mixer(ModulatedTokens):
    """Perceptrons across tokens and across channels in turn, without attention.

    Time and observation act only through adaLN (see ModulatedTokens); the published Mixer has
    neither them nor positions.

    Args:
        action_dim, horizon, cond_dim, n_obs_steps: the sizes Da, H, Dc, To; any horizon.
        width: size of a token.
        depth: number of blocks.
        token_hidden_dim: hidden size of the perceptron across tokens.
        mlp_ratio: hidden size of the perceptron across channels over `width`.
        time_dim: size of the sinusoid; even.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 128,
        depth: int = 6,
        token_hidden_dim: int = 64,
        mlp_ratio: float = 4.0,
        time_dim: int = 128,
    ) -> None:
        super().__init__()
        self.time = TimeEmbedding(time_dim, width, output_dim=width, activation=nn.SiLU())
        self._add_condition(cond_dim, n_obs_steps, width=width, depth=depth)

        sizes = {"token_hidden_dim": token_hidden_dim, "hidden_dim": round(width * mlp_ratio)}
        blocks = (MixerBlock(horizon, width, **sizes) for _ in range(depth))
        self._add_tokens(action_dim, horizon, width=width, blocks=blocks)

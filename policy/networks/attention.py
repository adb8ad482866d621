"""Multi-head attention and pre-norm blocks of nothing but tokens (Vaswani et al. 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import PolicyError


def check_heads(network: str, width: int, n_heads: int) -> None:
    """Refuse a width that the heads cannot share."""
    if width % n_heads:
        raise PolicyError(f"{network}: width={width} is not a multiple of n_heads={n_heads}")


def self_attention(qkv: Tensor, n_heads: int, causal: bool = False, dropout: float = 0.0) -> Tensor:
    """Every token attends to every other, or to those up to itself.

    Args:
        qkv: queries, keys and values side by side, `[B, T, 3 width]`.
        n_heads: heads, each of `width / n_heads` channels.
        causal: token i sees the tokens 0 .. i only.
        dropout: share of the attention weights set to zero.

    Returns:
        the heads' mixtures side by side, `[B, T, width]`.
    """
    batch, length, width = qkv.shape
    heads = qkv.view(batch, length, 3, n_heads, width // (3 * n_heads))
    query, key, value = heads.transpose(1, 3).unbind(2)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(batch, length, width // 3)


def cross_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The tokens of a chunk attend to one memory, or each token to a memory of its own.

    Args:
        query: `[B, T, width]`.
        key, value: of S memory tokens, `[B M, n_heads, S, width / n_heads]`, M = 1 or T.
        mask: added to the logits, broadcasting to `[B M, n_heads, T / M, S]`.
        dropout: share of the attention weights set to zero.

    Returns:
        the heads' mixtures side by side, `[B, T, width]`.
    """
    n_memories, n_heads, _, head_dim = key.shape
    heads = query.view(n_memories, -1, n_heads, head_dim).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(heads, key, value, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(query.shape)


def split_keys_and_values(flat: Tensor, depth: int, n_heads: int) -> Tensor:
    """Keys and values of all layers, `[B, S, depth 2 width]`, apart.

    Returns:
        `[depth, 2, B, n_heads, S, width / n_heads]`.
    """
    apart = flat.view(*flat.shape[:2], depth, 2, n_heads, flat.shape[2] // (2 * depth * n_heads))
    return apart.permute(2, 3, 0, 4, 1, 5)


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and perceptron, `[B, T, width]`.

    The layer of nn.TransformerEncoderLayer(norm_first=True, activation="gelu").

    Args:
        width: size of a token.
        n_heads: attention heads.
        hidden_dim: hidden size of the perceptron.
        causal: token i sees the tokens 0 .. i only.
        dropout: of attention weights, hidden units and both branches, while training.
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        hidden_dim: int,
        causal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.causal = causal
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden_dim)
        self.contract = nn.Linear(hidden_dim, width)

    def forward(self, h: Tensor) -> Tensor:
        return self._perceive(self._attend(h))

    def _attend(self, h: Tensor) -> Tensor:
        qkv = self.qkv(self.attention_norm(h))
        mixed = self_attention(qkv, self.n_heads, self.causal, self._rate())
        return h + self._drop(self.project(mixed))

    def _perceive(self, h: Tensor) -> Tensor:
        hidden = self._drop(F.gelu(self.expand(self.mlp_norm(h))))
        return h + self._drop(self.contract(hidden))

    def _rate(self) -> float:
        return self.dropout if self.training else 0.0

    def _drop(self, h: Tensor) -> Tensor:
        rate = self._rate()
        return F.dropout(h, rate) if rate else h


class DecoderBlock(EncoderBlock):
    """An EncoderBlock with cross-attention to a memory between its two parts.

    The layer of nn.TransformerDecoderLayer(norm_first=True, activation="gelu"), but for the keys
    and values of the memory, which are computed outside, once for all evaluations.
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        hidden_dim: int,
        causal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width, n_heads, hidden_dim, causal, dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.cross_project = nn.Linear(width, width)

    def forward(  # type: ignore[override]
        self, h: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> Tensor:
        """h `[B, T, width]`; the rest as in `cross_attention`."""
        h = self._attend(h)
        query = self.query(self.cross_norm(h))
        mixed = cross_attention(query, key, value, mask, self._rate())
        return self._perceive(h + self._drop(self.cross_project(mixed)))

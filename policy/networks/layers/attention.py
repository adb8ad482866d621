"""Multi-head attention, and pre-norm transformer blocks (Vaswani et al. 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import PolicyError


def check_heads(network: str, width: int, n_heads: int) -> None:
    """Refuse a width that the heads cannot share.

    Raises:
        PolicyError: `n_heads` does not divide `width`.
    """
    if width % n_heads:
        raise PolicyError(f"{network}: width={width} is not a multiple of n_heads={n_heads}")


def self_attention(
    qkv: Float[Tensor, "B T qkv"], n_heads: int, causal: bool = False, dropout: float = 0.0
) -> Float[Tensor, "B T width"]:
    """Let every token attend to every other, or to those up to itself.

    Args:
        qkv: queries, keys and values side by side, each of size `width`.
        n_heads: heads, each of `width / n_heads` channels.
        causal: token i sees the tokens 0 .. i only.
        dropout: share of the attention weights set to zero.

    Returns:
        the heads' mixtures side by side.
    """
    batch, length, width = qkv.shape
    heads = qkv.view(batch, length, 3, n_heads, width // (3 * n_heads))
    query, key, value = heads.transpose(1, 3).unbind(2)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(batch, length, width // 3)


def cross_attention(
    query: Float[Tensor, "B T width"],
    key: Float[Tensor, "BM heads S head"],
    value: Float[Tensor, "BM heads S head"],
    mask: Float[Tensor, "*logits"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B T width"]:
    """Let the tokens of a chunk attend to one memory, or each token to a memory of its own.

    Args:
        query: one a token.
        key, value: of S memory tokens, for each of the M = 1 or T memories of a chunk.
        mask: added to the logits, broadcasting to `[B M, heads, T / M, S]`.
        dropout: share of the attention weights set to zero.

    Returns:
        the heads' mixtures side by side.
    """
    n_memories, n_heads, _, head_dim = key.shape
    heads = query.view(n_memories, -1, n_heads, head_dim).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(heads, key, value, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(query.shape)


def split_keys_and_values(
    flat: Float[Tensor, "B S keys_values"], depth: int, n_heads: int
) -> Float[Tensor, "{depth} 2 B {n_heads} S head"]:
    """Separate the keys and values of all layers, which stand side by side."""
    apart = flat.view(*flat.shape[:2], depth, 2, n_heads, flat.shape[2] // (2 * depth * n_heads))
    return apart.permute(2, 3, 0, 4, 1, 5)


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and perceptron.

    The layer of nn.TransformerEncoderLayer(norm_first=True, activation="gelu").

    Args:
        width: size of a token.
        n_heads: attention heads.
        hidden_dim: hidden size of the perceptron.
        causal: token i sees the tokens 0 .. i only.
        dropout: of attention weights, hidden units and both branches, while training.
    """

    def __init__(
        self, width: int, n_heads: int, hidden_dim: int, causal: bool = False, dropout: float = 0.0
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

    def forward(self, h: Float[Tensor, "B T width"]) -> Float[Tensor, "B T width"]:
        """Return the tokens after the block."""
        return self._perceive(self._attend(h))

    def _attend(self, h: Tensor) -> Tensor:
        qkv = self.qkv(self.attention_norm(h))
        mixed = self_attention(qkv, self.n_heads, causal=self.causal, dropout=self._rate())
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
    """An EncoderBlock with cross-attention to a memory between its two parts; arguments as there.

    The layer of nn.TransformerDecoderLayer(norm_first=True, activation="gelu"), but for the keys
    and values of the memory, which are computed outside, once for all evaluations.
    """

    def __init__(
        self, width: int, n_heads: int, hidden_dim: int, causal: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__(width, n_heads, hidden_dim=hidden_dim, causal=causal, dropout=dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.cross_project = nn.Linear(width, width)

    def forward(  # type: ignore[override]
        self,
        h: Float[Tensor, "B T width"],
        key: Float[Tensor, "BM heads S head"],
        value: Float[Tensor, "BM heads S head"],
        mask: Float[Tensor, "*logits"] | None,
    ) -> Float[Tensor, "B T width"]:
        """Return the tokens after the block; key, value and mask as in `cross_attention`."""
        h = self._attend(h)
        query = self.query(self.cross_norm(h))
        mixed = cross_attention(query, key, value, mask=mask, dropout=self._rate())
        return self._perceive(h + self._drop(self.cross_project(mixed)))

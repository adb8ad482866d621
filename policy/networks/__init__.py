"""The networks that denoise chunks of actions."""

from .backbone import Backbone
from .concatenation_mlp import ConcatenationMLP
from .conditional_unet1d import ConditionalUnet1D
from .dit import DiT
from .dit_cross_attention import CrossAttentionDiT
from .dit_in_context import InContextDiT
from .mixer import Mixer
from .residual_mlp import ResidualMLP
from .transformer import Transformer

__all__ = [
    "Backbone",
    "ConcatenationMLP",
    "ConditionalUnet1D",
    "CrossAttentionDiT",
    "DiT",
    "InContextDiT",
    "Mixer",
    "ResidualMLP",
    "Transformer",
]

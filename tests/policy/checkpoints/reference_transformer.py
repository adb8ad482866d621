"""Diffusion Policy's transformer (2303.04137) from its description, with the names of its tensors.

An oracle: PyTorch's own transformer layers, in the published cut.
"""

from __future__ import annotations

import torch
from reference_unet import Sinusoid
from torch import Tensor, nn


class ReferenceTransformer(nn.Module):
    """`forward(x [B, H, Da], k [B] integer timesteps, cond [B, To, Dc]) -> [B, H, Da]`.

    Causal masks let action i see the actions 0 .. i, the time and the observations 0 .. i.
    """

    mask: Tensor | None
    memory_mask: Tensor | None

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int,
        depth: int,
        n_heads: int,
        n_cond_layers: int,
        causal: bool,
    ) -> None:
        super().__init__()
        settings = {
            "dim_feedforward": 4 * width,
            "dropout": 0.1,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        self._dummy_variable = nn.Parameter(torch.empty(0))
        self.input_emb = nn.Linear(action_dim, width)
        self.pos_emb = nn.Parameter(torch.randn(1, horizon, width))
        self.time_emb = Sinusoid(width)
        self.cond_obs_emb = nn.Linear(cond_dim, width)
        self.cond_pos_emb = nn.Parameter(torch.randn(1, 1 + n_obs_steps, width))
        self.encoder: nn.Module
        if n_cond_layers:
            encoder_layer = nn.TransformerEncoderLayer(width, n_heads, **settings)  # type: ignore
            self.encoder = nn.TransformerEncoder(
                encoder_layer, n_cond_layers, enable_nested_tensor=False
            )
        else:
            self.encoder = nn.Sequential(
                nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width)
            )
        decoder_layer = nn.TransformerDecoderLayer(width, n_heads, **settings)  # type: ignore
        self.decoder = nn.TransformerDecoder(decoder_layer, depth)
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, action_dim)
        hidden = torch.full((horizon, horizon), -torch.inf).triu(1)
        steps = torch.arange(horizon)[:, None] < torch.arange(-1, n_obs_steps)
        unseen = torch.zeros(steps.shape).masked_fill(steps, -torch.inf)
        self.register_buffer("mask", hidden if causal else None)
        self.register_buffer("memory_mask", unseen if causal else None)

    def forward(self, x: Tensor, k: Tensor, cond: Tensor) -> Tensor:
        time = self.time_emb(k.to(x.dtype))[:, None]
        memory = torch.cat([time, self.cond_obs_emb(cond)], dim=1) + self.cond_pos_emb
        tokens = self.input_emb(x) + self.pos_emb
        h = self.decoder(
            tokens, self.encoder(memory), tgt_mask=self.mask, memory_mask=self.memory_mask
        )
        return self.head(self.ln_f(h))

"""Diffusion Policy's U-Net (2303.04137) from its description, with the names of its tensors.

An oracle: written for clarity, in the published cut, without anything computed beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Sinusoid(nn.Module):
    """Sines and cosines of the timestep at frequencies from 1 to 1e-4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, k: Tensor) -> Tensor:
        n = self.dim // 2
        frequencies = [math.exp(-math.log(10_000) * i / (n - 1)) for i in range(n)]
        phases = torch.outer(k, torch.tensor(frequencies, dtype=k.dtype))
        return torch.cat([torch.sin(phases), torch.cos(phases)], dim=1)


class Wrapped(nn.Module):
    """One module under a name."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(x)


def conv_block(in_dim: int, out_dim: int, kernel_size: int) -> nn.Module:
    conv = nn.Conv1d(in_dim, out_dim, kernel_size, padding="same")
    return Wrapped("block", nn.Sequential(conv, nn.GroupNorm(8, out_dim), nn.Mish()))


class ResidualBlock(nn.Module):
    """Two convolutions; the features of time and observation scale and shift what is between."""

    def __init__(
        self, in_dim: int, out_dim: int, feature_dim: int, kernel_size: int, predict_scale: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [conv_block(in_dim, out_dim, kernel_size), conv_block(out_dim, out_dim, kernel_size)]
        )
        n_coefficients = 2 * out_dim if predict_scale else out_dim
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(feature_dim, n_coefficients))
        same = in_dim == out_dim
        self.residual_conv = nn.Identity() if same else nn.Conv1d(in_dim, out_dim, 1)
        self.predict_scale = predict_scale

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        h = self.blocks[0](x)
        film = self.cond_encoder(feature)[:, :, None]
        if self.predict_scale:
            scale, shift = film.split(h.shape[1], dim=1)
            h = h * scale + shift
        else:
            h = h + film
        return self.blocks[1](h) + self.residual_conv(x)


class ReferenceUnet(nn.Module):
    """`forward(x [B, H, Da], k [B] integer timesteps, cond [B, To Dc]) -> [B, H, Da]`."""

    def __init__(
        self,
        action_dim: int,
        global_dim: int,
        time_dim: int,
        down_dims: Sequence[int],
        kernel_size: int,
        predict_scale: bool,
    ) -> None:
        super().__init__()

        def block(in_dim: int, out_dim: int) -> ResidualBlock:
            return ResidualBlock(in_dim, out_dim, time_dim + global_dim, kernel_size, predict_scale)

        self.diffusion_step_encoder = nn.Sequential(
            Sinusoid(time_dim),
            nn.Linear(time_dim, 4 * time_dim),
            nn.Mish(),
            nn.Linear(4 * time_dim, time_dim),
        )
        dims = [action_dim, *down_dims]
        self.down_modules = nn.ModuleList()
        self.up_modules = nn.ModuleList()
        for i, (a, b) in enumerate(pairwise(dims)):
            last = i == len(down_dims) - 1
            down = nn.Identity() if last else Wrapped("conv", nn.Conv1d(b, b, 3, 2, padding=1))
            self.down_modules.append(nn.ModuleList([block(a, b), block(b, b), down]))
        self.mid_modules = nn.ModuleList(block(dims[-1], dims[-1]) for _ in range(2))
        for i in reversed(range(1, len(down_dims))):
            a, b = down_dims[i - 1], down_dims[i]
            up = Wrapped("conv", nn.ConvTranspose1d(a, a, 4, 2, padding=1))
            self.up_modules.append(nn.ModuleList([block(2 * b, a), block(a, a), up]))
        self.final_conv = nn.Sequential(
            conv_block(down_dims[0], down_dims[0], kernel_size),
            nn.Conv1d(down_dims[0], action_dim, 1),
        )

    def forward(self, x: Tensor, k: Tensor, cond: Tensor) -> Tensor:
        feature = torch.cat([self.diffusion_step_encoder(k.to(x.dtype)), cond], dim=1)
        h = x.transpose(1, 2)
        kept = []
        for first, second, down in self.down_modules:
            h = second(first(h, feature), feature)
            kept.append(h)
            h = down(h)
        for middle in self.mid_modules:
            h = middle(h, feature)
        for first, second, up in self.up_modules:
            h = torch.cat([h, kept.pop()], dim=1)
            h = up(second(first(h, feature), feature))
        return self.final_conv(h).transpose(1, 2)

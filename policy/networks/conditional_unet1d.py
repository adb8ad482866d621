"""Conditional U-Net over the time axis of a chunk (Diffusion Policy, Chi et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import PolicyError
from .backbone import Backbone, initialise_zero
from .embeddings import TIME_SCALE, TimeEmbedding


class Conv1d(nn.Conv1d):
    """nn.Conv1d, as one matrix product at batch one.

    There PyTorch's convolution on the CPU takes a slow path: 230 microseconds where the product
    takes 48 (192 channels, 4 positions, kernel 5, one thread of an EPYC). On batches it is faster.
    """

    def forward(self, h: Tensor) -> Tensor:
        """`[B, C_in, L]` to `[B, C_out, L / stride]`."""
        if len(h) > 1 or not h.is_cpu:
            return super().forward(h)
        padding = int(self.padding[0])
        windows = F.pad(h, (padding, padding)).unfold(2, self.kernel_size[0], self.stride[0])
        columns = windows.transpose(1, 2).flatten(2)
        return F.linear(columns, self.weight.flatten(1), self.bias).transpose(1, 2)


class ConvBlock(nn.Sequential):
    """Conv1d, GroupNorm, Mish: `[B, C_in, L]` to `[B, C_out, L]`."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int) -> None:
        super().__init__(
            Conv1d(in_dim, out_dim, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(n_groups, out_dim),
            nn.Mish(),
        )


class ResidualConvBlock(nn.Module):
    """Two ConvBlocks with FiLM between them (scale and bias per channel, Perez et al. 2018)."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int) -> None:
        super().__init__()
        self.out_dim = out_dim
        self.before = ConvBlock(in_dim, out_dim, kernel_size, n_groups)
        self.after = ConvBlock(out_dim, out_dim, kernel_size, n_groups)
        self.skip = Conv1d(in_dim, out_dim, 1) if in_dim != out_dim else nn.Identity()

    def forward(self, h: Tensor, film: Tensor) -> Tensor:
        """h `[B, C_in, L]`, film `[B, 2 C_out, 1 | L]` (scales, then biases)."""
        scale, bias = film.chunk(2, dim=1)
        y: Tensor = self.after(torch.addcmul(bias, self.before(h), scale))
        skip: Tensor = self.skip(h)
        return y + skip


class DownLevel(nn.Module):
    """Two residual blocks, then a strided convolution that halves the length (if not the last)."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int, last: bool):
        super().__init__()
        self.first = ResidualConvBlock(in_dim, out_dim, kernel_size, n_groups)
        self.second = ResidualConvBlock(out_dim, out_dim, kernel_size, n_groups)
        stride = Conv1d(out_dim, out_dim, 3, stride=2, padding=1)
        self.downsample = nn.Identity() if last else stride

    def forward(self, h: Tensor, films: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """h `[B, C_in, L]` to h `[B, C_out, L / 2]` and the skip connection `[B, C_out, L]`."""
        skip = self.second(self.first(h, next(films)), next(films))
        return self.downsample(skip), skip


class UpLevel(nn.Module):
    """Two residual blocks on h and its skip connection, then a transposed convolution."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int) -> None:
        super().__init__()
        self.first = ResidualConvBlock(2 * in_dim, out_dim, kernel_size, n_groups)
        self.second = ResidualConvBlock(out_dim, out_dim, kernel_size, n_groups)
        self.upsample = nn.ConvTranspose1d(out_dim, out_dim, 4, stride=2, padding=1)

    def forward(self, h: Tensor, skip: Tensor, films: Iterator[Tensor]) -> Tensor:
        """h and skip `[B, C_in, L]` to `[B, C_out, 2 L]`."""
        h = torch.cat([h, skip], dim=1)
        h = self.second(self.first(h, next(films)), next(films))
        upsampled: Tensor = self.upsample(h)
        return upsampled


class ConditionalUnet1D(Backbone):
    """Diffusion Policy's U-Net, evaluated with all FiLM coefficients computed beforehand.

    Two residual blocks at each level going down, two in the middle, two at each level going up;
    every level but the last halves the length. The architecture is the published one
    (`local_cond_dim=None`, `cond_predict_scale=True`), with three differences: its per-block
    Linear on [Mish(e_t), Mish(cond)] is kept as one Linear on each part for all blocks together,
    the same function; the scales start at 1 and the head at 0; and a time per token is averaged
    over the tokens that a level merges.

    Args:
        action_dim: Da.
        horizon: H, a multiple of 2 ** (len(down_dims) - 1).
        cond_dim: Dc, size of one step's encoded observation.
        n_obs_steps: To.
        down_dims: channels of each level; multiples of `n_groups`.
        kernel_size: of the convolutions, odd.
        n_groups: groups of every GroupNorm.
        time_dim: size of the sinusoid and of the time embedding; even.
        time_scale: factor on t; a checkpoint trained on N integer timesteps has N - 1.

    Raises:
        PolicyError: the horizon, the kernel size or the channels do not fit.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        down_dims: Sequence[int] = (256, 512, 1024),
        kernel_size: int = 5,
        n_groups: int = 8,
        time_dim: int = 256,
        time_scale: float = TIME_SCALE,
    ) -> None:
        super().__init__()
        dims = list(down_dims)
        _check_shapes(horizon, dims, kernel_size, n_groups)
        conv = (kernel_size, n_groups)
        last = len(dims) - 1
        self.down = nn.ModuleList(
            DownLevel(in_dim, out_dim, *conv, last=level == last)
            for level, (in_dim, out_dim) in enumerate(pairwise([action_dim, *dims]))
        )
        self.middle = nn.ModuleList(ResidualConvBlock(dims[-1], dims[-1], *conv) for _ in range(2))
        self.up = nn.ModuleList(
            UpLevel(in_dim, out_dim, *conv) for in_dim, out_dim in pairwise(reversed(dims))
        )
        self.head = ConvBlock(dims[0], dims[0], *conv)
        self.output = Conv1d(dims[0], action_dim, 1)

        # For each residual block, in the order of evaluation: 2 C coefficients, and its length.
        levels = [*range(last + 1), last, *range(last, 0, -1)]
        channels = [*dims, dims[-1], *reversed(dims[:-1])]
        self.film_sizes = [2 * c for c in channels for _ in range(2)]
        self.lengths = [horizon >> level for level in levels for _ in range(2)]
        self.time = TimeEmbedding(time_dim, 4 * time_dim, time_dim, nn.Mish(), time_scale)
        self.time_film = nn.Linear(time_dim, sum(self.film_sizes))
        self.cond_film = nn.Linear(n_obs_steps * cond_dim, sum(self.film_sizes), bias=False)
        self._initialise()

    def times(self, t: Tensor) -> Tensor:
        """The time's part of every block's FiLM, flattened.

        One time a chunk gives `[B, sum_k 2 C_k]`; times that differ between tokens give
        `[B, sum_k 2 C_k L_k]`, where block k has C_k channels and length L_k.
        """
        embedding = F.mish(self.time(t)).transpose(1, 2)
        lengths = self.lengths if embedding.shape[2] > 1 else [1] * len(self.lengths)
        weights = torch.split(self.time_film.weight, self.film_sizes)
        biases = torch.split(self.time_film.bias, self.film_sizes)
        films = []
        for weight, bias, length in zip(weights, biases, lengths, strict=True):
            pooled = embedding.reshape(*embedding.shape[:2], length, -1).mean(-1)
            film = F.linear(pooled.transpose(1, 2), weight, bias)
            films.append(film.transpose(1, 2).flatten(1))
        return torch.cat(films, dim=1)

    def condition(self, cond: Tensor) -> Tensor:
        """cond `[B, To, Dc]` to the observation's part of every block's FiLM, `[B, sum_k 2 C_k]`"""
        film: Tensor = self.cond_film(F.mish(cond.flatten(1)))
        return film

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """x `[B, H, Da]`, features of leading dimension B or 1; returns `[B, H, Da]`."""
        films = self._films(times, condition)
        h = x.transpose(1, 2)
        skips = []
        for down in self.down:
            h, skip = down(h, films)
            skips.append(skip)
        for block in self.middle:
            h = block(h, next(films))
        for up in self.up:  # the first level's skip connection is left unused, as published
            h = up(h, skips.pop(), films)
        chunk: Tensor = self.output(self.head(h))
        return chunk.transpose(1, 2)

    def _films(self, times: Tensor, condition: Tensor) -> Iterator[Tensor]:
        """Each block's coefficients, `[B, 2 C, 1 | L]`, in the order of evaluation."""
        per_token = times.shape[1] != condition.shape[1]
        lengths = self.lengths if per_token else [1] * len(self.lengths)
        sizes = [size * length for size, length in zip(self.film_sizes, lengths, strict=True)]
        of_time = torch.split(times, sizes, dim=1)
        of_cond = torch.split(condition.unsqueeze(-1), self.film_sizes, dim=1)
        for time, cond in zip(of_time, of_cond, strict=True):
            yield time.view(len(time), cond.shape[1], -1) + cond

    def _initialise(self) -> None:
        """PyTorch's own, as published, but for FiLM scales of one and a head of zero."""
        initialise_zero(self.output)
        with torch.no_grad():
            for bias in torch.split(self.time_film.bias, self.film_sizes):
                bias[: len(bias) // 2] = 1.0


def _check_shapes(horizon: int, dims: Sequence[int], kernel_size: int, n_groups: int) -> None:
    """Refuse what the strides and groups cannot divide."""
    stride = 2 ** (len(dims) - 1)
    if horizon % stride:
        below = horizon - horizon % stride
        nearest = f"{below} or {below + stride}" if below else f"{stride}"
        raise PolicyError(
            f"U-Net with {len(dims)} levels: horizon={horizon} is not a multiple of {stride}; "
            f"use {nearest}, or fewer down_dims"
        )
    if kernel_size % 2 == 0:
        raise PolicyError(f"U-Net: kernel_size={kernel_size} must be odd to keep the length")
    unfit = [dim for dim in dims if dim % n_groups]
    if unfit:
        raise PolicyError(f"U-Net: down_dims {unfit} are not multiples of n_groups={n_groups}")

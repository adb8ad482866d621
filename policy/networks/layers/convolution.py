"""Residual convolutions over the time axis of a chunk, modulated by FiLM."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Conv1d(nn.Conv1d):
    """nn.Conv1d, as one matrix product at batch one.

    There PyTorch's convolution on the CPU takes a slow path: 230 microseconds where the product
    takes 48 (192 channels, 4 positions, kernel 5, one thread of an EPYC). On batches it is faster.
    """

    def forward(self, h: Float[Tensor, "B C_in L"]) -> Float[Tensor, "B C_out L_out"]:
        """Return the convolution, of length L / stride."""
        if len(h) > 1 or not h.is_cpu:
            return super().forward(h)

        padding = int(self.padding[0])
        windows = F.pad(h, (padding, padding)).unfold(2, self.kernel_size[0], self.stride[0])
        columns = windows.transpose(1, 2).flatten(2)
        return F.linear(columns, self.weight.flatten(1), self.bias).transpose(1, 2)


class ConvBlock(nn.Sequential):
    """Conv1d, GroupNorm and Mish, which keep the length."""

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

    def forward(
        self, h: Float[Tensor, "B C_in L"], film: Float[Tensor, "B film #L"]
    ) -> Float[Tensor, "B C_out L"]:
        """Return the features after the block; film holds C_out scales, then as many biases."""
        scale, bias = film.chunk(2, dim=1)
        y: Tensor = self.after(torch.addcmul(bias, self.before(h), scale))
        skip: Tensor = self.skip(h)
        return y + skip


class DownLevel(nn.Module):
    """Two residual blocks, then a strided convolution that halves the length (if not the last)."""

    def __init__(
        self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int, last: bool
    ) -> None:
        super().__init__()
        self.first = ResidualConvBlock(in_dim, out_dim, kernel_size, n_groups)
        self.second = ResidualConvBlock(out_dim, out_dim, kernel_size, n_groups)
        stride = Conv1d(out_dim, out_dim, 3, stride=2, padding=1)
        self.downsample = nn.Identity() if last else stride

    def forward(
        self, h: Float[Tensor, "B C_in L"], films: Iterator[Tensor]
    ) -> tuple[Float[Tensor, "B C_out half"], Float[Tensor, "B C_out L"]]:
        """Return the features at half the length, and the skip connection at the whole one."""
        skip = self.second(self.first(h, next(films)), next(films))
        return self.downsample(skip), skip


class UpLevel(nn.Module):
    """Two residual blocks on h and its skip connection, then a transposed convolution."""

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int, n_groups: int) -> None:
        super().__init__()
        self.first = ResidualConvBlock(2 * in_dim, out_dim, kernel_size, n_groups)
        self.second = ResidualConvBlock(out_dim, out_dim, kernel_size, n_groups)
        self.upsample = nn.ConvTranspose1d(out_dim, out_dim, 4, stride=2, padding=1)

    def forward(
        self,
        h: Float[Tensor, "B C_in L"],
        skip: Float[Tensor, "B C_in L"],
        films: Iterator[Tensor],
    ) -> Float[Tensor, "B C_out double"]:
        """Return the features at twice the length."""
        h = torch.cat([h, skip], dim=1)
        h = self.second(self.first(h, next(films)), next(films))
        upsampled: Tensor = self.upsample(h)
        return upsampled

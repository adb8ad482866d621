"""Conditional U-Net over the time axis of a chunk (Chi et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import PolicyError
from .backbone import Backbone
from .layers.convolution import Conv1d, ConvBlock, DownLevel, ResidualConvBlock, UpLevel
from .layers.embeddings import TIME_SCALE, TimeEmbedding, Times
from .layers.initialisation import initialise_zero


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
        _check_shapes(horizon, dims, kernel_size=kernel_size, n_groups=n_groups)
        conv = {"kernel_size": kernel_size, "n_groups": n_groups}
        last = len(dims) - 1

        self.down = nn.ModuleList(
            DownLevel(in_dim, out_dim, **conv, last=level == last)
            for level, (in_dim, out_dim) in enumerate(pairwise([action_dim, *dims]))
        )
        self.middle = nn.ModuleList(ResidualConvBlock(dims[-1], dims[-1], **conv) for _ in range(2))
        self.up = nn.ModuleList(
            UpLevel(in_dim, out_dim, **conv) for in_dim, out_dim in pairwise(reversed(dims))
        )
        self.head = ConvBlock(dims[0], dims[0], **conv)
        self.output = Conv1d(dims[0], action_dim, 1)

        # For each residual block, in the order of evaluation: 2 C coefficients, and its length.
        levels = [*range(last + 1), last, *range(last, 0, -1)]
        channels = [*dims, dims[-1], *reversed(dims[:-1])]
        self.film_sizes = [2 * c for c in channels for _ in range(2)]
        self.lengths = [horizon >> level for level in levels for _ in range(2)]

        self.time = TimeEmbedding(
            time_dim, 4 * time_dim, output_dim=time_dim, activation=nn.Mish(), scale=time_scale
        )
        self.time_film = nn.Linear(time_dim, sum(self.film_sizes))
        self.cond_film = nn.Linear(n_obs_steps * cond_dim, sum(self.film_sizes), bias=False)
        self._initialise()

    def times(self, t: Times) -> Float[Tensor, "B films"]:
        """Return the time's part of every block's FiLM, flattened.

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

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B films"]:
        """Return the observation's part of every block's FiLM, `[B, sum_k 2 C_k]`."""
        film: Tensor = self.cond_film(F.mish(cond.flatten(1)))
        return film

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B times"],
        condition: Float[Tensor, "#B films"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
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
        """Yield each block's coefficients, `[B, 2 C, 1 | L]`, in the order of evaluation."""
        per_token = times.shape[1] != condition.shape[1]
        lengths = self.lengths if per_token else [1] * len(self.lengths)
        sizes = [size * length for size, length in zip(self.film_sizes, lengths, strict=True)]
        of_time = torch.split(times, sizes, dim=1)
        of_cond = torch.split(condition.unsqueeze(-1), self.film_sizes, dim=1)
        for time, cond in zip(of_time, of_cond, strict=True):
            yield time.view(len(time), cond.shape[1], -1) + cond

    def _initialise(self) -> None:
        """Keep PyTorch's initial values, as published, but FiLM scales of one and a zero head."""
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

"""Embeddings of time and of observations, shared by the networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

#: Times in [0, 1]: one per chunk or one per token.
Times = Float[Tensor, "B"] | Float[Tensor, "B H"]

#: t in [0, 1] is multiplied by this before the sinusoid, whose frequencies run from 1 to 1e-4:
#: unscaled, nearly all of the embedding's variance would lie in one component.
TIME_SCALE = 1000.0

_MAX_PERIOD = 10_000.0


def sinusoidal_embedding(
    t: Float[Tensor, "*shape"], dim: int, scale: float = TIME_SCALE
) -> Float[Tensor, "*shape {dim}"]:
    """Return the sines, then the cosines, of `scale * t` at dim/2 frequencies (Chi et al. 2023).

    Computed in float32 (float64 if t is), whatever autocast says: bfloat16 has 8 bits, and the
    phases reach 1000 radians.

    Args:
        t: times in [0, 1].
        dim: size of the embedding; even, at least 4.
        scale: factor applied to t.
    """
    dtype = torch.promote_types(t.dtype, torch.float32)
    steps = torch.arange(dim // 2, dtype=dtype, device=t.device)
    frequencies = torch.exp(steps * (-math.log(_MAX_PERIOD) / (dim // 2 - 1)))
    phases = (t.to(dtype) * scale).unsqueeze(-1) * frequencies
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


def tokens_times(t: Times) -> Float[Tensor, "B #H"]:
    """Return t as a column for each token, or as one column if each chunk has a single time.

    Two ways to write the same times thus give the same output bit for bit (products of other
    shapes round otherwise), at the price of one. Where the values may not steer the computation,
    in a derivative with respect to t or under a compiler, `[B, H]` stays as it is: there the two
    agree to rounding.
    """
    if t.dim() == 1:
        return t.unsqueeze(-1)

    tangent = unpack_dual(t).tangent  # type: ignore[no-untyped-call]
    differentiated = t.requires_grad or tangent is not None
    if differentiated or torch.compiler.is_compiling() or not _is_single(t):
        return t
    return t[:, :1]


def _is_single(t: Tensor) -> bool:
    """Return whether t `[B, H]` is known to hold one time a chunk.

    On an accelerator only an expanded column is known to: to look at the values, the processor
    would have to wait for the device at every step of a training.
    """
    if t.device.type == "cpu":
        return not bool((t != t[:, :1]).any())
    return t.stride(1) == 0


class Sinusoid(nn.Module):
    """`sinusoidal_embedding` of one time per chunk or per token, without parameters.

    Args:
        dim: size E of the embedding, even.
        scale: factor applied to t.
    """

    def __init__(self, dim: int, scale: float = TIME_SCALE) -> None:
        super().__init__()
        self.dim = dim
        self.scale = scale

    def forward(self, t: Times) -> Float[Tensor, "B #H E"]:
        """Return the sinusoid of t, float32 also under autocast."""
        return sinusoidal_embedding(tokens_times(t), self.dim, scale=self.scale)


class TimeEmbedding(nn.Module):
    """A sinusoid of t and a two-layer perceptron, for one time per chunk or per token.

    Args:
        dim: size of the sinusoid, even.
        hidden_dim: size of the hidden layer.
        output_dim: size E of the embedding.
        activation: between the two layers.
        scale: factor applied to t before the sinusoid.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        output_dim: int,
        activation: nn.Module,
        scale: float = TIME_SCALE,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.scale = scale
        self.input = nn.Linear(dim, hidden_dim)
        self.activation = activation
        self.output = nn.Linear(hidden_dim, output_dim)

    def forward(self, t: Times) -> Float[Tensor, "B #H E"]:
        """Return the embedding of t, of the parameters' type also under autocast."""
        with torch.autocast(device_type=t.device.type, enabled=False):
            sinusoid = sinusoidal_embedding(tokens_times(t), self.dim, scale=self.scale)
            hidden = self.activation(self.input(sinusoid.to(self.input.weight.dtype)))
            embedding: Tensor = self.output(hidden)
        return embedding


class ConditionEmbedding(nn.Module):
    """The observation history, flattened, through a perceptron.

    Args:
        cond_dim: size Dc of the encoded observation of one step.
        n_obs_steps: To.
        output_dim: size E of the embedding.
        hidden_dims: sizes of the hidden layers; one of size E by default.
    """

    def __init__(
        self,
        cond_dim: int,
        n_obs_steps: int,
        output_dim: int,
        hidden_dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        hidden = [output_dim] if hidden_dims is None else hidden_dims
        dims = [n_obs_steps * cond_dim, *hidden, output_dim]
        layers: list[nn.Module] = []
        for in_dim, out_dim in pairwise(dims):
            layers += [nn.Linear(in_dim, out_dim), nn.SiLU()]
        self.mlp = nn.Sequential(*layers)

    def forward(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B E"]:
        """Return the embedding of the observation history."""
        embedding: Tensor = self.mlp(cond.flatten(1))
        return embedding

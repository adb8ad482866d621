"""Diffusion Policy's transformer: a causal decoder with cross-attention (Chi et al. 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .layers.attention import DecoderBlock, EncoderBlock, check_heads, split_keys_and_values
from .layers.embeddings import TIME_SCALE, Sinusoid, Times
from .layers.initialisation import initialise_positions
from .tokens import TokenNetwork


class Transformer(TokenNetwork):
    """The chunk's actions attend to themselves and to a memory: the time and the observations.

    The architecture is the published one (`time_as_cond`, `obs_as_cond`): the memory is a token
    of time, its sinusoid, and a token a step of the observation history. With `causal`, action i
    sees the actions 0 .. i and the observations 0 .. i. The keys and values of all layers are one
    Linear; without condition layers a memory token depends on no other, so times and
    observations are taken to keys and values apart, and one evaluation reads them only. A time
    per token gives each token its own memory, of its own time and the same observations.

    Weights start Xavier-uniform instead of normal(0.02), so that their size follows the width;
    positions start larger and the head at zero.

    Args:
        action_dim, horizon, cond_dim, n_obs_steps: the sizes Da, H, Dc, To; any horizon.
        width: size of a token.
        depth: number of decoder blocks.
        n_heads: attention heads; divides `width`.
        n_cond_layers: self-attention blocks over the memory; 0 for a perceptron on each token.
        causal: mask what comes later.
        dropout: while training, as published except on the embeddings.
        time_scale: factor on t; a checkpoint trained on N integer timesteps has N - 1.

    Raises:
        PolicyError: `n_heads` does not divide `width`.
    """

    memory_mask: Tensor | None

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 128,
        depth: int = 6,
        n_heads: int = 4,
        n_cond_layers: int = 0,
        causal: bool = True,
        dropout: float = 0.0,
        time_scale: float = TIME_SCALE,
    ) -> None:
        super().__init__()
        check_heads("Transformer", width, n_heads)
        self.n_heads = n_heads
        hidden = 4 * width

        self.time = Sinusoid(width, time_scale)
        self.cond = nn.Linear(cond_dim, width)
        self.memory_position = nn.Parameter(torch.empty(1, 1 + n_obs_steps, width))

        # A memory token on its own, then all of them together; one of the two does nothing.
        keys_values = nn.Linear(width, depth * 2 * width)
        self.token: nn.Module = nn.Identity()
        self.memory: nn.Module = nn.Identity()
        if n_cond_layers:
            layers = (
                EncoderBlock(width, n_heads, hidden_dim=hidden, dropout=dropout)
                for _ in range(n_cond_layers)
            )
            self.memory = nn.Sequential(*layers, keys_values)
        else:
            perceptron = (nn.Linear(width, hidden), nn.Mish(), nn.Linear(hidden, width))
            self.token = nn.Sequential(*perceptron, keys_values)

        mask = _memory_mask(horizon, n_obs_steps) if causal else None
        self.register_buffer("memory_mask", mask, persistent=False)

        blocks = (
            DecoderBlock(width, n_heads, hidden_dim=hidden, causal=causal, dropout=dropout)
            for _ in range(depth)
        )
        self._add_tokens(action_dim, horizon, width=width, blocks=blocks)

    def times(self, t: Times) -> Float[Tensor, "B #H E"]:
        """Return the memory's time token, or one for each token of the chunk.

        E is 2 depth width, keys and values; with condition layers it is the width, a token.
        """
        sinusoid = self.time(t).to(self.memory_position.dtype)
        features: Tensor = self.token(sinusoid + self.memory_position[:, :1])
        return features

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B To E"]:
        """Return the memory's observation tokens."""
        features: Tensor = self.token(self.cond(cond) + self.memory_position[:, 1:])
        return features

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B #H E"],
        condition: Float[Tensor, "#B To E"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        memory = self.memory(_memories(len(x), times, condition))
        heads = split_keys_and_values(memory, len(self.blocks), self.n_heads)
        mask = self._mask(len(x), times.shape[1])

        h = self.input(x) + self.position
        for block, (key, value) in zip(self.blocks, heads.unbind(), strict=True):
            h = block(h, key, value, mask)

        chunk: Tensor = self.output(self.norm(h))
        return chunk

    def _mask(self, batch: int, n_memories: int) -> Tensor | None:
        """Return what a token must not see of its memory, for `cross_attention`."""
        if self.memory_mask is None or n_memories == 1:
            return self.memory_mask
        return self.memory_mask[:, None, None].repeat(batch, 1, 1, 1)

    def _initialise(self) -> None:
        super()._initialise()
        initialise_positions(self.memory_position)


def _memory_mask(horizon: int, n_obs_steps: int) -> Tensor:
    """Return `[H, 1 + To]`: zero for the time and for observation j <= i in row i, else -inf."""
    seen = torch.ones(horizon, n_obs_steps).tril()
    return F.pad(seen, (1, 0), value=1.0).log()


def _memories(batch: int, times: Tensor, condition: Tensor) -> Tensor:
    """Return M memories a chunk, `[B M, 1 + To, E]`, each of a time token and the observations."""
    n_memories = times.shape[1]
    n_obs_steps = condition.shape[1]
    time = times.unsqueeze(2).expand(batch, -1, -1, -1)
    observations = condition.unsqueeze(1).expand(batch, n_memories, n_obs_steps, -1)
    return torch.cat([time, observations], dim=2).flatten(0, 1)

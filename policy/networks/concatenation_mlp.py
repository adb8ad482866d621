"""Residual perceptron on chunk, time and observation, concatenated."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .layers.embeddings import Times
from .layers.initialisation import initialise_inputs, initialise_linears, initialise_zero
from .perceptron import ChunkPerceptron


class ConcatenationMLP(ChunkPerceptron):
    """The plainest conditioning: the first layer sees [chunk, embedded time, observations].

    That layer is a sum of three, one on each part, so the times' is computed once a table and the
    observations' once a chunk. Pre-norm residual blocks follow, which know of neither.

    Args:
        action_dim, horizon, cond_dim, n_obs_steps: the sizes Da, H, Dc, To; any horizon.
        width: size of the residual stream.
        depth: number of blocks.
        expansion: hidden size of a block over `width`.
        time_dim: size of the sinusoid; even.
        token_dim: size of one token's time embedding.
    """

    def __init__(
        self,
        action_dim: int,
        horizon: int,
        cond_dim: int,
        n_obs_steps: int,
        width: int = 384,
        depth: int = 4,
        expansion: float = 1.0,
        time_dim: int = 64,
        token_dim: int = 16,
    ) -> None:
        super().__init__(action_dim, horizon, time_dim=time_dim, token_dim=token_dim)
        self.input = nn.Linear(horizon * action_dim, width)
        self.time_input = nn.Linear(horizon * token_dim, width, bias=False)
        self.cond_input = nn.Linear(n_obs_steps * cond_dim, width, bias=False)
        hidden = round(width * expansion)
        self.blocks = nn.ModuleList(_block(width, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, horizon * action_dim)
        self._initialise()

    def times(self, t: Times) -> Float[Tensor, "B width"]:
        """Return the time's part of the first layer."""
        part: Tensor = self.time_input(F.silu(self._tokens_times(t)))
        return part

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B width"]:
        """Return the observation's part of the first layer."""
        part: Tensor = self.cond_input(cond.flatten(1))
        return part

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B width"],
        condition: Float[Tensor, "#B width"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        h = self.input(x.flatten(1)) + times + condition
        for block in self.blocks:
            h = h + block(h)

        return self._chunk(self.output(self.norm(h)))

    def _initialise(self) -> None:
        initialise_linears(self)
        initialise_inputs(self.input, self.time_input, self.cond_input)
        initialise_zero(self.output)


def _block(width: int, hidden_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, hidden_dim),
        nn.SiLU(),
        nn.Linear(hidden_dim, width),
    )

"""What every denoising network offers to the loss and to the sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from .layers.embeddings import Times


class Backbone(nn.Module, ABC):
    """A network F(x_t, t, cond) on chunks of actions, split by how often each part is needed.

    A sampler calls `times` once per table, `condition` once per chunk and `denoise` once per
    evaluation, so whatever depends on the time or on the observation alone is computed outside
    the loop. The features of time and condition are tensors whose first dimension is the batch;
    a batch of one broadcasts, so row k of a table's times is `times(grid)[k : k + 1]`.

    The network knows nothing of noise levels or targets: t is a number in [0, 1], either one per
    chunk or one per token; the same t written in both ways gives the same output. Untrained
    networks return exactly zero (their last layer starts at zero).

    All parameters may be cast to float64 or bfloat16; chunks and observations then have that type,
    while times may have any.

    Every network is made with the sizes `action_dim` (Da), `horizon` (H), `cond_dim` (Dc, of one
    step's encoded observation) and `n_obs_steps` (To), and with settings of its own.
    """

    @abstractmethod
    def times(self, t: Times) -> Float[Tensor, "B ..."]:
        """Return the features of the time t."""

    @abstractmethod
    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B ..."]:
        """Return the features of the encoded observations."""

    @abstractmethod
    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B ..."],
        condition: Float[Tensor, "#B ..."],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once, on the features of `times` and `condition`."""

    def forward(
        self, x: Float[Tensor, "B H Da"], t: Times, cond: Float[Tensor, "B To Dc"]
    ) -> Float[Tensor, "B H Da"]:
        """Return F(x, t, cond)."""
        return self.denoise(x, self.times(t), self.condition(cond))

"""DiT with in-context conditioning (Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .diffusion_transformer import DiffusionTransformer
from .layers.attention import EncoderBlock
from .layers.embeddings import Times
from .layers.initialisation import initialise_positions


class InContextDiT(DiffusionTransformer):
    """A plain transformer on [time, observations, actions]; the actions' tokens are the answer.

    The time is one token and every step of the observation history another, before the chunk's
    and treated no differently. Where times differ between tokens, the time token is their mean
    embedding, and every action's input is increased by how its own embedding differs from it.

    Its arguments are those of DiffusionTransformer.
    """

    block = EncoderBlock

    def times(self, t: Times) -> Float[Tensor, "B #H width"]:
        """Return the embeddings of t, a single one if t is the same for all tokens."""
        embedding: Tensor = self.time(t)
        return embedding

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B To width"]:
        """Return the observations' tokens."""
        tokens: Tensor = self.cond(cond) + self.cond_position
        return tokens

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B #H width"],
        condition: Float[Tensor, "#B To width"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        actions = self.input(x) + self.position
        time = times
        if times.shape[1] > 1:
            time = times.mean(1, keepdim=True)
            actions = actions + (times - time)

        context = (token.expand(len(x), -1, -1) for token in (time, condition))
        h = torch.cat([*context, actions], dim=1)
        for block in self.blocks:
            h = block(h)

        chunk: Tensor = self.output(self.norm(h[:, -self.horizon :]))
        return chunk

    def _add_condition(self, cond_dim: int, n_obs_steps: int, width: int, depth: int) -> None:
        self.cond = nn.Linear(cond_dim, width)
        # The time token needs no position: the biases of its embedding tell it apart.
        self.cond_position = nn.Parameter(torch.empty(1, n_obs_steps, width))

    def _initialise(self) -> None:
        super()._initialise()
        initialise_positions(self.cond_position)

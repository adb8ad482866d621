"""Networks whose blocks work on the chunk's tokens and are modulated by time and observation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .layers.embeddings import ConditionEmbedding, TimeEmbedding, Times
from .layers.modulation import Modulation, TimeModulation
from .tokens import TokenNetwork

#: The modulations that leave a block unchanged: (shift, scale, gate), for each of its two parts.
_BLOCK_IDENTITY = (0.0, 1.0, 0.0) * 2
#: Those that leave the last norm unchanged: (shift, scale).
_HEAD_IDENTITY = (0.0, 1.0)


class ModulatedTokens(TokenNetwork):
    """adaLN-Zero (Peebles & Xie 2023): time and observation only shift, scale and gate the blocks.

    DiT modulates by Linear(SiLU(e_t + e_cond)); here it is Linear(SiLU(e_t)) +
    Linear(SiLU(e_cond)), so that the two parts are computed apart, for all blocks at once, and one
    evaluation only adds them. A time per token modulates its token. Every block and the head start
    as the identity.
    """

    time: TimeEmbedding
    cond: nn.Module
    modulation: TimeModulation

    def times(self, t: Times) -> Float[Tensor, "B #H n width"]:
        """Return the time's part of every modulation, the same for all tokens if t is."""
        return self.modulation.times(F.silu(self.time(t)))

    def condition(self, cond: Float[Tensor, "B To Dc"]) -> Float[Tensor, "B 1 n width"]:
        """Return the observation's part of every modulation."""
        assert isinstance(self.modulation, Modulation)
        return self.modulation.condition(self.cond(cond).unsqueeze(1))

    def denoise(
        self,
        x: Float[Tensor, "B H Da"],
        times: Float[Tensor, "#B #H n width"],
        condition: Float[Tensor, "#B 1 n width"],
    ) -> Float[Tensor, "B H Da"]:
        """Evaluate the network once."""
        return self._modulated(x, times + condition, [()] * len(self.blocks))

    def _modulated(
        self, x: Tensor, modulations: Tensor, memories: Sequence[tuple[Tensor, ...]]
    ) -> Tensor:
        """Return the answer of blocks that are called as `block(h, 6 modulations, *memory)`."""
        *of_blocks, shift, scale = modulations.unbind(-2)
        h = self.input(x) + self.position
        for i, (block, memory) in enumerate(zip(self.blocks, memories, strict=True)):
            h = block(h, of_blocks[6 * i : 6 * i + 6], *memory)

        chunk: Tensor = self.output(torch.addcmul(shift, self.norm(h), scale))
        return chunk

    def _add_condition(self, cond_dim: int, n_obs_steps: int, width: int, depth: int) -> None:
        """Make the layers that read the observations."""
        self.cond = ConditionEmbedding(cond_dim, n_obs_steps, output_dim=width)
        self.modulation = Modulation(width, width, width=width, identity=modulation_identity(depth))

    def _last_norm(self, width: int) -> nn.LayerNorm:
        return nn.LayerNorm(width, elementwise_affine=False)  # the modulations scale and shift

    def _initialise(self) -> None:
        super()._initialise()
        self.modulation.initialise()


def modulation_identity(depth: int) -> tuple[float, ...]:
    """Return the modulations that leave `depth` blocks and the head unchanged."""
    return _BLOCK_IDENTITY * depth + _HEAD_IDENTITY

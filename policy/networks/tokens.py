"""What all networks have in common whose tokens are the chunk's actions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from .backbone import Backbone
from .layers.initialisation import initialise_linears, initialise_positions, initialise_zero


class TokenNetwork(Backbone):
    """A network whose tokens are the chunk's actions, with a learned position each.

    A constructor first makes the layers that read times and observations and then calls
    `_add_tokens`. The order in which layers are made is the order in which they draw their initial
    values, so it decides what a seed gives.
    """

    def _add_tokens(
        self, action_dim: int, horizon: int, width: int, blocks: Iterable[nn.Module]
    ) -> None:
        """Make the layers from the noisy actions to the answer, then initialise all layers.

        Args:
            action_dim: Da.
            horizon: H.
            width: size of a token.
            blocks: makes the blocks one by one, after the input layer.
        """
        self.horizon = horizon
        self.input = nn.Linear(action_dim, width)
        self.position = nn.Parameter(torch.empty(1, horizon, width))
        self.blocks = nn.ModuleList(blocks)
        self.norm = self._last_norm(width)
        self.output = nn.Linear(width, action_dim)
        self._initialise()

    def _last_norm(self, width: int) -> nn.LayerNorm:
        """Return the norm between the last block and the output."""
        return nn.LayerNorm(width)

    def _initialise(self) -> None:
        initialise_linears(self)
        initialise_positions(self.position)
        initialise_zero(self.output)

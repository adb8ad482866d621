"""What every observation encoder offers to the policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of one step's observation for each key, without batch and time."""


class Encoder(nn.Module, ABC):
    """Turns a history of observations into the condition of a network.

    Attributes:
        output_dim: Dc, the size of one step's condition.
    """

    output_dim: int

    @abstractmethod
    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Normalised observations, each `[B, To, ...]`, to the condition `[B, To, Dc]`."""


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether an observation of this shape is an image `(h, w, 3)` and not a vector or matrix."""
    return len(shape) == 3

"""What every observation encoder offers to the policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Float, Shaped
from torch import Tensor, nn

#: The shape of one step's observation for each key, without batch and time.
Shapes = Mapping[str, tuple[int, ...]]
#: A history of To observations for each key.
Observations = Mapping[str, Shaped[Tensor, "B To ..."]]


class Encoder(nn.Module, ABC):
    """Turns a history of observations into the condition of a network.

    Attributes:
        output_dim: Dc, the size of one step's condition.
    """

    output_dim: int

    @abstractmethod
    def forward(self, obs: Observations) -> Float[Tensor, "B To Dc"]:
        """Return the condition that normalised observations give."""


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether an observation of this shape is an image and not a vector or a matrix."""
    return len(shape) == 3

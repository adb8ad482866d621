"""Several encoders side by side, so that state and image policies share one path."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import PolicyError
from .encoder import Encoder, Observations, Shapes, is_image


class CompositeEncoder(Encoder):
    """An encoder for the low-dimensional keys and one for the images, concatenated.

    Args:
        shapes: shape of one step's observation for each key.
        state: factory `state(shapes=...)` for the low-dimensional keys, if there are any.
        image: factory `image(shapes=...)` for the images, if there are any.

    Raises:
        PolicyError: `shapes` is empty.
    """

    def __init__(
        self, shapes: Shapes, state: Callable[..., Encoder], image: Callable[..., Encoder]
    ) -> None:
        super().__init__()
        vectors = {key: shape for key, shape in shapes.items() if not is_image(shape)}
        images = {key: shape for key, shape in shapes.items() if is_image(shape)}
        groups = [(state, vectors), (image, images)]
        encoders = [factory(shapes=group) for factory, group in groups if group]
        if not encoders:
            raise PolicyError("the encoder has no observation key to read")

        self.encoders = nn.ModuleList(encoders)
        self.output_dim = sum(encoder.output_dim for encoder in encoders)

    def forward(self, obs: Observations) -> Float[Tensor, "B To Dc"]:
        """Return the conditions of the encoders side by side: of the state, then of the images."""
        return torch.cat([encoder(obs) for encoder in self.encoders], dim=-1)

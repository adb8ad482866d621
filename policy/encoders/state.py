"""Low-dimensional observations as a condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import PolicyError
from .encoder import Encoder, Observations, Shapes, is_image


class StateEncoder(Encoder):
    """The low-dimensional keys of one step, flattened and concatenated, then a perceptron.

    Args:
        shapes: shape of one step's observation for each key, in the order of concatenation.
        hidden_dims: sizes of the perceptron's layers, the last one being Dc; SiLU after each but
            the last. Without any (the default) the concatenation stays as it is: the networks
            have their own embedding.

    Raises:
        PolicyError: `shapes` is empty or holds an image.
    """

    def __init__(self, shapes: Shapes, hidden_dims: Sequence[int] = ()) -> None:
        super().__init__()
        images = [key for key, shape in shapes.items() if is_image(shape)]
        if images:
            raise PolicyError(f"the state encoder cannot read images {images}; use encoder=image")
        if not shapes:
            raise PolicyError("the state encoder has no observation key to read")

        self.keys = tuple(shapes)
        dims = [sum(math.prod(shape) for shape in shapes.values()), *hidden_dims]
        self.output_dim = dims[-1]
        layers: list[nn.Module] = []
        for in_dim, out_dim in pairwise(dims):
            layers += [nn.Linear(in_dim, out_dim), nn.SiLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, obs: Observations) -> Float[Tensor, "B To Dc"]:
        """Return the condition that normalised observations give."""
        state = torch.cat([obs[key].flatten(2) for key in self.keys], dim=-1)
        weight = next(self.mlp.parameters(), None)
        if weight is not None:
            state = state.to(weight.dtype)

        condition: Tensor = self.mlp(state)
        return condition

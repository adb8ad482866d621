"""Low-dimensional observations as a condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import PolicyError
from .encoder import Encoder, Shapes, is_image


class StateEncoder(Encoder):
    """The low-dimensional keys of one step, flattened and concatenated, then a perceptron.

    Args:
        shapes: shape of one step's observation for each key, in the order of concatenation.
        hidden_dims: sizes of the perceptron's layers, the last one being Dc; SiLU after each but
            the last. None (the default) leaves the concatenation as it is: the networks have
            their own embedding.

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

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Observations, each `[B, To, *shape]`, to `[B, To, Dc]`."""
        state = torch.cat([obs[key].flatten(2) for key in self.keys], dim=-1)
        condition: Tensor = self.mlp(state)
        return condition

"""The range of values that training has seen."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..buffers import Buffers

#: The least and the largest value.
Bounds = tuple[Float[Tensor, "n"], Float[Tensor, "n"]]


class Ranges(Buffers):
    """The least and the largest value of each column of some keys; -1 and 1 before any was seen.

    Args:
        sizes: key -> number of columns of its flattened value.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self._seen: set[str] = set()
        for key, size in sizes.items():
            self.keep(key, "low", -torch.ones(size))
            self.keep(key, "high", torch.ones(size))

    def widen(self, key: str, values: Float[Tensor, "... n"]) -> None:
        """Take values of a key into its range."""
        rows = values.flatten(0, -2)
        low = self.get(key, "low")
        high = self.get(key, "high")
        least = rows.amin(0).to(low)
        most = rows.amax(0).to(high)
        if key in self._seen:
            least = torch.minimum(least, low)
            most = torch.maximum(most, high)
        self._seen.add(key)
        low.copy_(least)
        high.copy_(most)

    def bounds(self, key: str, stretch: float = 1.0) -> Bounds:
        """Return a key's range, stretched about its middle."""
        low = self.get(key, "low")
        high = self.get(key, "high")
        if stretch == 1:
            return low, high
        middle = (low + high) / 2
        half = stretch * (high - low) / 2
        return middle - half, middle + half

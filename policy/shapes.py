"""Shapes that signatures of several rooms share (jaxtyping)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

#: Chunks of actions, or noise of their shape.
Chunks = Float[Tensor, "B H Da"]
#: The initial noise of chunks, then the M fresh ones of a table.
Noises = Float[Tensor, "draws B H Da"]

"""More noise at the same time: every sigma / alpha of a path multiplied."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .path import Path


def shifted(t: Float[Tensor, "*shape"], shift: float, path: Path) -> Float[Tensor, "*shape"]:
    """Return the time at which sigma / alpha, r, is `shift` times what it is at t.

    Where the path ends at a finite r_max the end stays in place: 1 / r' - 1 / r_max is 1 / shift of
    what it was.

    Args:
        t: times in (0, 1].
        shift: more than 1 for more noise.
        path: the noising path.
    """
    angle = path.angle(t)
    end = path.angle(torch.ones_like(t))
    inverse = angle.cos() / angle.sin()
    last = end.cos() / end.sin()
    return path.time_at(torch.atan2(torch.ones_like(t), last + (inverse - last) / shift))

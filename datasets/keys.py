"""What the names and shapes under `data/` mean."""

from __future__ import annotations

from collections.abc import Sequence

ACTION = "action"
IMAGE_CHANNELS = (1, 3, 4)


def is_image(shape: Sequence[int]) -> bool:
    """Say whether an array [N, ...] of this shape holds pictures [N, h, w, c]."""
    return len(shape) == 4 and shape[-1] in IMAGE_CHANNELS

"""Do the statistics in the checkpoint belong to the data?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..finding import FACT, Clue, ramp

if TYPE_CHECKING:
    from ..case import Case

#: Misfit, in parts of the range, of statistics that were computed from the same data.
ROUNDING = 0.02
#: Misfit that spoils a policy: the range is off by half its width.
GRAVE = 0.5


def clues(case: Case) -> Sequence[Clue]:
    """Compare the range that each dimension was normalised to with that of the data."""
    found = {key: _misfit(case, key) for key in case.policy.normalizer.keys}
    key, (misfit, dimension) = max(found.items(), key=lambda item: item[1][0])
    effect = ramp(misfit, ROUNDING, GRAVE)
    text = (
        f"'{key}[{dimension}]' is normalised by a range that differs from the data's by "
        f"{100 * misfit:.0f} % of its width"
    )
    return [Clue("normalisation", FACT, effect, text)]


def _misfit(case: Case, key: str) -> tuple[float, int]:
    """Return the largest misfit of a key, in parts of its range, and the dimension."""
    import torch

    from kinoise.datasets.moments import compute_moments

    train = case.loaders.train
    moments = compute_moments(
        case.buffer, [key], episodes=train.windows.episodes, symmetry=train.symmetry
    )[key]
    normalizer = case.policy.normalizer
    ends = [
        normalizer.normalize(key, torch.from_numpy(np.asarray(moments[name]))).numpy(force=True)
        for name in ("min", "max")
    ]
    low, high = (each.numpy(force=True) for each in normalizer.bounds(key))
    width = np.maximum(high - low, 1e-12)
    constant = normalizer.scale(key).numpy(force=True) == 0
    away = np.maximum(np.abs(ends[0] - low), np.abs(ends[1] - high)) / width
    away = np.where(constant, 0.0, away).reshape(-1)
    return float(away.max(initial=0.0)), int(away.argmax()) if away.size else 0

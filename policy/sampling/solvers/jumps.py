"""Samplers for networks that jump along the ODE to the data, as consistency models do."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...errors import PolicyError
from ...paths import Path
from ..tape import Recorder
from .levels import begin, each_step, levels


def consistency(tape: Recorder, path: Path, times: Float[Tensor, "n"]) -> Any:
    """Song et al. 2023, algorithm 1: jump to the data, add fresh noise, jump again."""
    x = begin(tape, path, times)
    for now, then in each_step(path, times):
        x = then.state(tape.estimate(x, now.t), tape.noise())
    return tape.estimate(x, float(times[-1]))


def tcd(tape: Recorder, path: Path, times: Float[Tensor, "n"], gamma: float = 0.3) -> Any:
    """Zheng et al. 2024: jump below the next time by a fraction gamma of it, then add noise."""
    if not 0 <= gamma <= 1:
        raise PolicyError(f"gamma must lie within 0 and 1, got {gamma}")

    x = begin(tape, path, times)
    below = levels(path, (1 - gamma) * times)[1:]

    for (now, then), under in zip(each_step(path, times), below, strict=True):
        sample = tape.estimate(x, now.t)
        kept = then.alpha / under.alpha
        added = math.sqrt(max(then.sigma**2 - (kept * under.sigma) ** 2, 0.0))
        x = kept * under.state(sample, now.noise(x, sample)) + added * tape.noise()

    return tape.estimate(x, float(times[-1]))

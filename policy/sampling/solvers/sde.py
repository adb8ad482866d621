"""Solvers that draw noise on the way: the reverse SDE and Langevin dynamics."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...errors import PolicyError
from ...paths import Path
from ..tape import Recorder
from .levels import begin, each_step, rates


def reverse_sde(tape: Recorder, path: Path, times: Float[Tensor, "n"]) -> Any:
    """Song et al. 2021 (SDE), eq. 6: Euler-Maruyama on the reverse SDE in the path's own time.

    The SDE is the probability-flow ODE plus Langevin dynamics at the rate -d log-SNR / dt, which
    diverges at pure noise. There the rate is held at what an explicit step is stable for, 1 / dt:
    any rate leaves the same marginals.
    """
    x = begin(tape, path, times)
    alpha_rates, sigma_rates = rates(path, times)
    speeds = (-path.log_snr_rate(times)).nan_to_num(math.inf, math.inf).tolist()

    for k, (now, then) in enumerate(each_step(path, times)):
        dt = now.t - then.t
        sample = tape.estimate(x, now.t)
        noise = now.noise(x, sample)

        churn = min(speeds[k] * dt, 1.0)
        x = x - dt * (alpha_rates[k] * sample + sigma_rates[k] * noise)
        x = x + now.sigma * (math.sqrt(2 * churn) * tape.noise() - churn * noise)

    return tape.estimate(x, float(times[-1]))


def predictor_corrector(
    tape: Recorder, path: Path, times: Float[Tensor, "n"], corrections: int = 1, snr: float = 0.16
) -> Any:
    """Song et al. 2021 (SDE), algorithms 2-5: reverse-diffusion predictor, Langevin corrector.

    The corrector's step is 2 (snr sigma)^2, theirs with the norms of noise and score replaced by
    their expected values, so that it is linear; 1 + `corrections` evaluations a step.
    """
    x = begin(tape, path, times)
    for now, then in each_step(path, times):
        kept = now.alpha / then.alpha
        added = math.sqrt(max(now.sigma**2 - (kept * then.sigma) ** 2, 0.0))
        noise = now.noise(x, tape.estimate(x, now.t))
        x = (2 - kept) * x - added**2 / now.sigma * noise + added * tape.noise()

        for _ in range(corrections):
            noise = then.noise(x, tape.estimate(x, then.t))
            x = x + then.sigma * (2 * snr * tape.noise() - 2 * snr**2 * noise)

    return tape.estimate(x, float(times[-1]))


def langevin(
    tape: Recorder, path: Path, times: Float[Tensor, "n"], steps: int = 1, fraction: float = 0.5
) -> Any:
    """Song & Ermon 2019, algorithm 1: annealed Langevin dynamics, `steps` at every level.

    Each step replaces a `fraction` of the noise by as much fresh noise as keeps sigma in place, and
    the last one at a level lands on the next (consistent annealed sampling, Jolicoeur-Martineau et
    al. 2021, section 3): Langevin dynamics without the bias of a large step.
    """
    if steps < 1 or not 0 < fraction <= 1:
        raise PolicyError(f"steps must be at least 1, fraction in (0, 1]; got {steps}, {fraction}")

    x = begin(tape, path, times)
    fresh = math.sqrt(1 - (1 - fraction) ** 2)

    for now, then in each_step(path, times):
        for level in [now] * (steps - 1) + [then]:
            sample = tape.estimate(x, now.t)
            noise = (1 - fraction) * now.noise(x, sample) + fresh * tape.noise()
            x = level.state(sample, noise)

    return tape.estimate(x, float(times[-1]))

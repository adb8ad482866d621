"""Exponential integrators in log-SNR, of the ODE and of the reverse SDE."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ...errors import PolicyError
from ...paths import Path
from ..tape import Recorder
from .levels import begin, each_step


def exponential(tape: Recorder, path: Path, times: Float[Tensor, "n"], order: int = 2) -> Any:
    """Hochbruck & Ostermann 2010; Zhang & Chen 2023: exponential Adams-Bashforth in log-SNR.

    The linear part is exact, x_0 is extrapolated by a polynomial through its last `order` values.
    """
    return exponential_sde(tape, path, times, eta=0.0, order=order)


def exponential_sde(
    tape: Recorder, path: Path, times: Float[Tensor, "n"], eta: float = 1.0, order: int = 1
) -> Any:
    """Lu et al. 2022b; Gonzalez et al. 2023: exponential integrator of the reverse SDE with churn.

    `eta` multiplies the diffusion of the reverse SDE: 0 is the probability-flow ODE, 1 the SDE
    itself. With c = 1 + eta^2 and h the step in log-SNR, the solution over a step is
        x_s = sigma_s / sigma_t exp(-eta^2 h) x_t + alpha_s int_0^h c exp(-c (h - u)) x_0(u) du
              + sigma_s sqrt(1 - exp(-2 eta^2 h)) z.
    """
    if order not in (1, 2, 3) or not eta >= 0:
        raise PolicyError(f"order must be 1, 2 or 3 and eta at least 0, got {order} and {eta}")

    rate = 1 + eta**2
    x = begin(tape, path, times)
    slopes: list[Any] = []  # divided differences of x_0 in log-SNR: value, slope, half curvature
    widths: list[float] = []  # the last steps in log-SNR, newest first

    for now, then in each_step(path, times):
        sample = tape.estimate(x, now.t)
        slopes = _differences(sample, slopes, widths)[:order]

        left = now.ratio(then)
        drift = _integrals(left, rate, widths)
        x = then.sigma / now.sigma * left ** (eta**2) * x
        for weight, slope in zip(drift, slopes, strict=False):
            x = x + then.alpha * weight * slope
        if eta > 0:
            x = x + then.sigma * math.sqrt(1 - left ** (2 * eta**2)) * tape.noise()

        widths = [-math.log(left) if left > 0 else math.inf, *widths[:1]]

    return tape.estimate(x, float(times[-1]))


def _differences(sample: Any, slopes: list[Any], widths: list[float]) -> list[Any]:
    """Return Newton's divided differences of x_0 in log-SNR, updated by its newest value.

    A width may be infinite, at a first step out of pure noise: its differences are then 0.
    """
    new = [sample]
    for k, old in enumerate(slopes[: len(widths)]):
        new.append((new[k] - old) / sum(widths[: k + 1]))
    return new


def _integrals(left: float, rate: float, widths: list[float]) -> list[float]:
    """Return int_0^h c exp(-c (h - u)) p(u) du for p = 1, u, u (u + the width before)."""
    first = 1 - left**rate
    if left == 0:
        return [first]

    h = -math.log(left)
    second = h - first / rate
    before = widths[0] if widths else 0.0
    return [first, second, h**2 - 2 * second / rate + before * second]

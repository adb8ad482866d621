"""Solvers that diffusers lacks, each exact on any Gaussian path.

All have one shape, `solve(tape, path, times, **options) -> the last state`, see `tape`: loops over
the decreasing times `[n]` of the path that end at the data with the last x_0 estimate. Each step
sees the noise it has, eps = (x - alpha x_0) / sigma, and never divides by alpha, which may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .errors import PolicyError
from .paths import Path
from .tape import Recorder


@dataclass(frozen=True)
class Level:
    """One noise level of a path, in numbers."""

    t: float
    alpha: float
    sigma: float

    def noise(self, x: Any, sample: Any) -> Any:
        """Return the noise in the state x, given its x_0."""
        return (x - self.alpha * sample) / self.sigma

    def state(self, sample: Any, noise: Any) -> Any:
        """Return the state that consists of this x_0 and this noise."""
        return self.alpha * sample + self.sigma * noise

    def ratio(self, after: Level) -> float:
        """Return exp(-h): how much of sigma / alpha is left at the level `after`."""
        return (after.sigma * self.alpha) / (after.alpha * self.sigma)


def levels(path: Path, times: Tensor) -> list[Level]:
    """Return the path's levels at times `[n]`; time 0 is data, whatever trace of noise is left."""
    alpha, sigma = path.alpha(times), path.sigma(times)
    columns = times, torch.where(times == 0, 1.0, alpha), torch.where(times == 0, 0.0, sigma)
    return [Level(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def _steps(path: Path, times: Tensor) -> Iterator[tuple[Level, Level]]:
    return pairwise(levels(path, times))


def _begin(tape: Recorder, path: Path, times: Tensor) -> Any:
    return float(path.sigma(times[0])) * tape.start()


def euler(tape: Recorder, path: Path, times: Tensor) -> Any:
    """Song et al. 2021 (SDE), eq. 13: Euler on the probability-flow ODE in the path's time."""
    x = _begin(tape, path, times)
    alpha_rates, sigma_rates = _rates(path, times)
    for k, (now, then) in enumerate(_steps(path, times)):
        sample = tape.estimate(x, now.t)
        slope = alpha_rates[k] * sample + sigma_rates[k] * now.noise(x, sample)
        x = x + (then.t - now.t) * slope
    return tape.estimate(x, float(times[-1]))


def _rates(path: Path, times: Tensor) -> tuple[list[float], list[float]]:
    """Return d alpha / dt and d sigma / dt, or their means over a step where they are infinite."""
    rates = []
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        mean, exact = value(times).diff() / times.diff(), rate(times)[:-1]
        rates.append(torch.where(exact.isfinite(), exact, mean).tolist())
    return rates[0], rates[1]


def rk4(tape: Recorder, path: Path, times: Tensor) -> Any:
    """Kutta 1901: the classical Runge-Kutta method on the probability-flow ODE in the noise angle.

    In u = x / |(alpha, sigma)| and the angle theta every path is du / dtheta = (cos(theta) u - x_0)
    / sin(theta), which is finite at pure noise and at the data; 4 evaluations a step.
    """
    angles = path.angle(times)
    halves = torch.stack([angles[:-1], (angles[:-1] + angles[1:]) / 2], 1).flatten()
    nodes = torch.cat([halves, angles[-1:]])
    at = path.time_at(nodes)
    lengths = torch.hypot(path.alpha(at), path.sigma(at)).tolist()
    theta, t = nodes.tolist(), at.tolist()

    def slope(u: Any, node: int) -> Any:
        sample = tape.estimate(lengths[node] * u, t[node])
        return (math.cos(theta[node]) * u - sample) / math.sin(theta[node])

    u = _begin(tape, path, times) / lengths[0]
    for k in range(0, len(theta) - 1, 2):
        h = theta[k + 2] - theta[k]
        k1 = slope(u, k)
        k2 = slope(u + h / 2 * k1, k + 1)
        k3 = slope(u + h / 2 * k2, k + 1)
        k4 = slope(u + h * k3, k + 2)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return tape.estimate(lengths[-1] * u, t[-1])


def exponential(tape: Recorder, path: Path, times: Tensor, order: int = 2) -> Any:
    """Hochbruck & Ostermann 2010; Zhang & Chen 2023: exponential Adams-Bashforth in log-SNR.

    The linear part is exact, x_0 is extrapolated by a polynomial through its last `order` values.
    """
    return exponential_sde(tape, path, times, eta=0.0, order=order)


def exponential_sde(
    tape: Recorder, path: Path, times: Tensor, eta: float = 1.0, order: int = 1
) -> Any:
    """Lu et al. 2022b; Gonzalez et al. 2023: exponential integrator of the reverse SDE with churn.

    `eta` multiplies the diffusion of the reverse SDE: 0 is the probability-flow ODE, 1 the SDE
    itself. With c = 1 + eta^2 and h the step in log-SNR, the solution over a step is
        x_s = sigma_s / sigma_t exp(-eta^2 h) x_t + alpha_s int_0^h c exp(-c (h - u)) x_0(u) du
              + sigma_s sqrt(1 - exp(-2 eta^2 h)) z.
    """
    if order not in (1, 2, 3) or not eta >= 0:
        raise PolicyError(f"order must be 1, 2 or 3 and eta at least 0, got {order} and {eta}")
    x, rate = _begin(tape, path, times), 1 + eta**2
    slopes: list[Any] = []  # divided differences of x_0 in log-SNR: value, slope, half curvature
    widths: list[float] = []  # the last steps in log-SNR, newest first
    for now, then in _steps(path, times):
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


def reverse_sde(tape: Recorder, path: Path, times: Tensor) -> Any:
    """Song et al. 2021 (SDE), eq. 6: Euler-Maruyama on the reverse SDE in the path's own time.

    The SDE is the probability-flow ODE plus Langevin dynamics at the rate -d log-SNR / dt, which
    diverges at pure noise. There the rate is held at what an explicit step is stable for, 1 / dt:
    any rate leaves the same marginals.
    """
    x = _begin(tape, path, times)
    alpha_rates, sigma_rates = _rates(path, times)
    speeds = (-path.log_snr_rate(times)).nan_to_num(math.inf, math.inf).tolist()
    for k, (now, then) in enumerate(_steps(path, times)):
        sample, dt = tape.estimate(x, now.t), now.t - then.t
        noise = now.noise(x, sample)
        churn = min(speeds[k] * dt, 1.0)
        x = x - dt * (alpha_rates[k] * sample + sigma_rates[k] * noise)
        x = x + now.sigma * (math.sqrt(2 * churn) * tape.noise() - churn * noise)
    return tape.estimate(x, float(times[-1]))


def predictor_corrector(
    tape: Recorder, path: Path, times: Tensor, corrections: int = 1, snr: float = 0.16
) -> Any:
    """Song et al. 2021 (SDE), algorithms 2-5: reverse-diffusion predictor, Langevin corrector.

    The corrector's step is 2 (snr sigma)^2, theirs with the norms of noise and score replaced by
    their expected values, so that it is linear; 1 + `corrections` evaluations a step.
    """
    x = _begin(tape, path, times)
    for now, then in _steps(path, times):
        kept = now.alpha / then.alpha
        added = math.sqrt(max(now.sigma**2 - (kept * then.sigma) ** 2, 0.0))
        noise = now.noise(x, tape.estimate(x, now.t))
        x = (2 - kept) * x - added**2 / now.sigma * noise + added * tape.noise()
        for _ in range(corrections):
            noise = then.noise(x, tape.estimate(x, then.t))
            x = x + then.sigma * (2 * snr * tape.noise() - 2 * snr**2 * noise)
    return tape.estimate(x, float(times[-1]))


def langevin(
    tape: Recorder, path: Path, times: Tensor, steps: int = 1, fraction: float = 0.5
) -> Any:
    """Song & Ermon 2019, algorithm 1: annealed Langevin dynamics, `steps` at every level.

    Each step replaces a `fraction` of the noise by as much fresh noise as keeps sigma in place, and
    the last one at a level lands on the next (consistent annealed sampling, Jolicoeur-Martineau et
    al. 2021, section 3): Langevin dynamics without the bias of a large step.
    """
    if steps < 1 or not 0 < fraction <= 1:
        raise PolicyError(f"steps must be at least 1, fraction in (0, 1]; got {steps}, {fraction}")
    x, fresh = _begin(tape, path, times), math.sqrt(1 - (1 - fraction) ** 2)
    for now, then in _steps(path, times):
        for level in [now] * (steps - 1) + [then]:
            sample = tape.estimate(x, now.t)
            noise = (1 - fraction) * now.noise(x, sample) + fresh * tape.noise()
            x = level.state(sample, noise)
    return tape.estimate(x, float(times[-1]))


def consistency(tape: Recorder, path: Path, times: Tensor) -> Any:
    """Song et al. 2023, algorithm 1: jump to the data, add fresh noise, jump again."""
    x = _begin(tape, path, times)
    for now, then in _steps(path, times):
        x = then.state(tape.estimate(x, now.t), tape.noise())
    return tape.estimate(x, float(times[-1]))


def tcd(tape: Recorder, path: Path, times: Tensor, gamma: float = 0.3) -> Any:
    """Zheng et al. 2024: jump below the next time by a fraction gamma of it, then add noise."""
    if not 0 <= gamma <= 1:
        raise PolicyError(f"gamma must lie within 0 and 1, got {gamma}")
    x = _begin(tape, path, times)
    below = levels(path, (1 - gamma) * times)[1:]
    for (now, then), under in zip(_steps(path, times), below, strict=True):
        sample = tape.estimate(x, now.t)
        kept = then.alpha / under.alpha
        added = math.sqrt(max(then.sigma**2 - (kept * under.sigma) ** 2, 0.0))
        x = kept * under.state(sample, now.noise(x, sample)) + added * tape.noise()
    return tape.estimate(x, float(times[-1]))

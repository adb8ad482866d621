"""Solvers of the probability-flow ODE."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...paths import Path
from ..tape import Recorder
from .levels import begin, each_step, rates


def euler(tape: Recorder, path: Path, times: Float[Tensor, "n"]) -> Any:
    """Song et al. 2021 (SDE), eq. 13: Euler on the probability-flow ODE in the path's time."""
    x = begin(tape, path, times)
    alpha_rates, sigma_rates = rates(path, times)

    for k, (now, then) in enumerate(each_step(path, times)):
        sample = tape.estimate(x, now.t)
        slope = alpha_rates[k] * sample + sigma_rates[k] * now.noise(x, sample)
        x = x + (then.t - now.t) * slope

    return tape.estimate(x, float(times[-1]))


def rk4(tape: Recorder, path: Path, times: Float[Tensor, "n"]) -> Any:
    """Kutta 1901: the classical Runge-Kutta method on the probability-flow ODE in the noise angle.

    In u = x / |(alpha, sigma)| and the angle theta every path is du / dtheta = (cos(theta) u - x_0)
    / sin(theta), which is finite at pure noise and at the data; 4 evaluations a step.
    """
    angles = path.angle(times)
    halves = torch.stack([angles[:-1], (angles[:-1] + angles[1:]) / 2], 1).flatten()
    nodes = torch.cat([halves, angles[-1:]])

    at = path.time_at(nodes)
    lengths = torch.hypot(path.alpha(at), path.sigma(at)).tolist()
    theta = nodes.tolist()
    t = at.tolist()

    def slope(u: Any, node: int) -> Any:
        sample = tape.estimate(lengths[node] * u, t[node])
        return (math.cos(theta[node]) * u - sample) / math.sin(theta[node])

    u = begin(tape, path, times) / lengths[0]
    for k in range(0, len(theta) - 1, 2):
        h = theta[k + 2] - theta[k]
        k1 = slope(u, k)
        k2 = slope(u + h / 2 * k1, k + 1)
        k3 = slope(u + h / 2 * k2, k + 1)
        k4 = slope(u + h * k3, k + 2)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return tape.estimate(lengths[-1] * u, t[-1])

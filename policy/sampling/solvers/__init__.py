"""Solvers that diffusers lacks, each exact on any Gaussian path.

All have one shape, `solve(tape, path, times, **options) -> the last state`, see `..tape`: loops
over the decreasing times `[n]` of the path that end at the data with the last x_0 estimate. Each
step sees the noise it has, eps = (x - alpha x_0) / sigma, and never divides by alpha, which may
be 0.
"""

from .exponential import exponential, exponential_sde
from .jumps import consistency, tcd
from .ode import euler, rk4
from .sde import langevin, predictor_corrector, reverse_sde

__all__ = [
    "consistency",
    "euler",
    "exponential",
    "exponential_sde",
    "langevin",
    "predictor_corrector",
    "reverse_sde",
    "rk4",
    "tcd",
]

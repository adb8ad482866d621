"""Find the grid on which a solver comes closest to the exact solution of one network's ODE.

The best places for n evaluations depend on the solver and on the data, not on the training: a small
search over log-SNR knots (Sabour et al. 2024 align them by a bound, Xue et al. 2024 by a local one)
against a fine solution with the same network and the same initial noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from ..paths import Path
from .grids import Cosine, Explicit, Grid, Karras, Polynomial, UniformLogSNR, UniformTime
from .registry import compile_table, get_solver
from .table import TimeEstimate, run_table


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        grid: the best grid.
        error: its mean squared error against the fine solution.
        errors: those of the grids that the search began with, by name.
        n_tables: how many grids were tried.
    """

    grid: Explicit
    error: float
    errors: Mapping[str, float]
    n_tables: int


def standard_grids(start: float) -> dict[str, Grid]:
    """Return the grids that a search begins with, none of them before time `start`."""
    return {
        "uniform": UniformTime(start),
        "quadratic": Polynomial(2.0, start),
        "cubic": Polynomial(3.0, start),
        "cosine": Cosine(-1.0, start),
        "karras": Karras(),
        "log_snr": UniformLogSNR(),
    }


def fine_solution(
    denoise: TimeEstimate,
    path: Path,
    noise: Float[Tensor, "*chunk"],
    start: float = 1.0,
    n: int = 200,
) -> Float[Tensor, "*chunk"]:
    """Return what the probability-flow ODE makes of `noise` `[M, H, Da]`, from time `start`.

    By n steps of the exponential integrator of order 3. They are equal in log-SNR, except the
    first one of a path that starts from pure noise.
    """
    first = torch.tensor([start], dtype=torch.float64)
    highest = min(0.9 * float(path.angle(first).tan()), 1e3)
    times = torch.cat([first, UniformLogSNR(1e-3, highest)(n, path)])
    return _solve(denoise, path, noise, "exponential_3", times, {})


def search_grid(
    denoise: TimeEstimate,
    path: Path,
    n: int,
    noise: Float[Tensor, "*chunk"],
    *,
    solver: str = "dpmpp_2m",
    options: Mapping[str, Any] | None = None,
    start: float = 1.0,
    n_tables: int = 400,
    reference: Float[Tensor, "*chunk"] | None = None,
) -> Search:
    """Return the best grid of n steps that a search by Nelder and Mead finds; imports scipy.

    Args:
        denoise: the network's x_0 estimate.
        path: the path it was trained on.
        n: steps of the solver.
        noise: initial standard normal noise `[M, H, Da]`; the more, the less is fitted to it.
        solver: a key of `registry.SOLVERS` that draws no noise.
        options: the solver's.
        start: the latest time that the network may see.
        n_tables: how many grids to try, each at n evaluations for all M chunks.
        reference: what to come close to `[M, H, Da]`; `fine_solution` by default.

    Raises:
        PolicyError: the solver draws noise, so its chunks cannot be compared one by one.
    """
    from scipy.optimize import minimize

    if get_solver(solver).order is None:
        raise PolicyError(f"solver '{solver}' draws noise: no grid search; try 'dpmpp_2m'")

    goal = fine_solution(denoise, path, noise, start) if reference is None else reference

    def error_at(times: Float[Tensor, "n"]) -> float:
        """Return the mean squared error on a grid, infinite where it does not decrease."""
        if bool((times.diff() >= 0).any()) or times[-1] <= 0:
            return math.inf
        chunk = _solve(denoise, path, noise, solver, times, options or {})
        return float((chunk - goal).square().mean())

    grids = {name: grid(n, path) for name, grid in standard_grids(start).items()}
    grids = {name: times for name, times in grids.items() if times[0] <= start}
    errors = {name: error_at(times) for name, times in grids.items()}
    name = min(errors, key=lambda name: errors[name])

    if n == 1:  # the only time is where the sampler starts: there is nothing to move
        return Search(
            grid=Explicit(grids[name].tolist()),
            error=errors[name],
            errors=errors,
            n_tables=len(errors),
        )

    knots = Knots.from_times(grids[name], path)
    tried = minimize(
        lambda vector: math.log10(error_at(knots.times(vector)) + 1e-30),
        knots.vector,
        method="Nelder-Mead",
        options={"maxfev": n_tables, "initial_simplex": knots.simplex(0.25), "adaptive": True},
    )

    best = knots.times(tried.x)
    found = error_at(best)
    if found > errors[name]:
        best = grids[name]
        found = errors[name]
    return Search(
        grid=Explicit(best.tolist()),
        error=found,
        errors=errors,
        n_tables=len(errors) + int(tried.nfev),
    )


@dataclass(frozen=True)
class Knots:
    """Grids with a fixed first time, as vectors `[n - 1]` without constraints.

    The first entry of a vector is the logarithm of sigma / alpha at the second time. Each of the
    others is the logarithm of a step in log-SNR.

    Attributes:
        path: the path of the times.
        first: the first time.
        highest: log(sigma / alpha) there.
        vector: the vector of the grid that the search begins with.
    """

    path: Path
    first: float
    highest: float
    vector: list[float]

    @classmethod
    def from_times(cls, times: Float[Tensor, "n"], path: Path) -> Knots:
        """Return the knots that stand at `times`."""
        log_ratios = path.angle(times).tan().log()
        steps = (-log_ratios[1:].diff()).log()
        vector = [*log_ratios[1:2].tolist(), *steps.tolist()]
        return cls(path, float(times[0]), float(log_ratios[0]), vector)

    def times(self, vector: Float[np.ndarray, "knots"] | Sequence[float]) -> Float[Tensor, "n"]:
        """Return the decreasing times of a vector."""
        values = torch.as_tensor(vector, dtype=torch.float64)
        second = values[:1].clamp(max=self.highest - 1e-3)
        log_ratios = torch.cat([second, second - values[1:].clamp(-7, 3).exp().cumsum(0)])
        times = self.path.time_at(log_ratios.exp().atan())
        return torch.cat([times.new_tensor([self.first]), times])

    def simplex(self, size: float) -> list[list[float]]:
        """Return the vector and its neighbours at a distance along each axis."""
        moved = [
            [v + size * (i == k) for i, v in enumerate(self.vector)]
            for k in range(len(self.vector))
        ]
        return [self.vector, *moved]


def _solve(
    denoise: TimeEstimate,
    path: Path,
    noise: Float[Tensor, "*chunk"],
    solver: str,
    times: Float[Tensor, "n"],
    options: Mapping[str, Any],
) -> Float[Tensor, "*chunk"]:
    """Return what the solver makes of the noise on a grid."""
    table = compile_table(solver, times, path, **options)
    at = table.t.to(noise)
    with torch.no_grad():
        return run_table(table, lambda k, x: denoise(x, at[k]), noise[None])

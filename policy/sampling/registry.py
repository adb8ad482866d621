"""Every solver by name, those of diffusers and our own; compiled to tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError, unknown_name
from ..paths import Path
from . import solvers
from .schedulers.probe import Scheduler, noise_from
from .schedulers.rows import SCHEDULERS
from .table import Table
from .tape import Written

__all__ = [
    "OWN",
    "SCHEDULERS",
    "SOLVERS",
    "Scheduler",
    "Solver",
    "compile_table",
    "get_solver",
    "noise_from",
]


@runtime_checkable
class Solver(Protocol):
    """Something that can be compiled to a table.

    Attributes:
        source: paper and algorithm.
        order: order of convergence; None for a solver that draws noise.
        options: the names of what a user may set.
        jumps: True if it expects jumps along the ODE to the data (a consistency model), not means.
    """

    @property
    def source(self) -> str: ...
    @property
    def order(self) -> float | None: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def jumps(self) -> bool: ...

    def compile(self, times: Float[Tensor, "n"], path: Path, options: Mapping[str, Any]) -> Table:
        """Return the table on the decreasing times of `path`."""


#: Solver name -> a solver that diffusers lacks, written on a tape.
OWN: dict[str, Written] = {
    "euler": Written(solvers.euler, 1),
    "rk4": Written(solvers.rk4, 4),
    "exponential_1": Written(solvers.exponential, 1, {"order": 1}),
    "exponential": Written(solvers.exponential, 2, {"order": 2}),
    "exponential_3": Written(solvers.exponential, 3, {"order": 3}),
    "reverse_sde": Written(solvers.reverse_sde, None),
    "exponential_sde": Written(solvers.exponential_sde, None),
    "predictor_corrector": Written(solvers.predictor_corrector, None),
    "langevin": Written(solvers.langevin, None),
    "consistency": Written(solvers.consistency, None, jumps=True),
    "tcd": Written(solvers.tcd, None, jumps=True),
}

#: Solver name -> the solver, whichever its origin.
SOLVERS: dict[str, Solver] = {**SCHEDULERS, **OWN}


def get_solver(name: str) -> Solver:
    """Return the solver of that name.

    Raises:
        PolicyError: there is none.
    """
    if name not in SOLVERS:
        raise unknown_name("solver", name, SOLVERS)
    return SOLVERS[name]


@torch.no_grad()
def compile_table(name: str, t: Float[Tensor, "n"], path: Path, **options: Any) -> Table:
    """Compile the solver `name` on the decreasing times t of `path` into a table.

    Args:
        name: a key of `SOLVERS`.
        t: times of the solver's steps, decreasing in (0, 1]; it ends at t = 0.
        path: the path the network was trained on; its own coordinates are those of the table.
        options: the solver's own, e.g. `eta` for DDIM; see its `options`.

    Raises:
        PolicyError: unknown solver, times that do not decrease, or an option it does not take.
    """
    solver = get_solver(name)

    times = t.double()
    if len(times) == 0 or bool((times.diff() >= 0).any()) or not 0 < times[-1] <= times[0] <= 1:
        raise PolicyError(f"a sampler's grid must decrease within (0, 1]; got {times.tolist()}")

    unknown = sorted(set(options) - set(solver.options))
    if unknown:
        known = ", ".join(solver.options) or "none"
        raise PolicyError(f"solver '{name}' takes no option {unknown} (it takes: {known})")

    return solver.compile(times, path, options)

"""The sampler slot: a solver, a number of steps and a grid, compiled to a table for a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .grids import Grid, UniformTime
from .paths import Path
from .schedulers import compile_table
from .tables import Table


@dataclass(frozen=True)
class Sampler:
    """Which solver, how many steps, on which grid.

    Args:
        solver: a key of `schedulers.SOLVERS`.
        n_steps: solver steps; Heun's method evaluates the network 2 n_steps - 1 times.
        grid: where the steps lie.
        options: passed to the scheduler's `step`, e.g. `{"eta": 1.0}` for DDIM.
    """

    solver: str = "flow_euler"
    n_steps: int = 10
    grid: Grid = field(default_factory=UniformTime)
    options: Mapping[str, float] = field(default_factory=dict)

    def table(self, path: Path) -> Table:
        """Compile the sampler for a path; imports diffusers."""
        return compile_table(self.solver, self.grid(self.n_steps, path), path, **self.options)

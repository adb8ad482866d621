"""The sampler slot: a solver, a number of steps and a grid, compiled to a table for a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import PolicyError, unknown_name
from ..paths import PATHS, Path
from .grids import Grid, UniformTime
from .registry import compile_table, get_solver
from .staggered import staggered
from .table import Table

#: Factor of an error of the x_0 estimate, in units of the state, beyond which a table is refused.
UNSTABLE = 100.0


@dataclass(frozen=True)
class Sampler:
    """Which solver, how many steps, on which grid, along which path.

    Args:
        solver: a key of `registry.SOLVERS`.
        n_steps: solver steps; Heun's method evaluates the network 2 n_steps - 1 times.
        grid: where the steps lie.
        options: the solver's own, e.g. `{"eta": 1.0}` for DDIM.
        path: the path to walk, or its name in `paths.PATHS`; None for the one trained on. The
            network is the same: two Gaussian paths at one log-SNR differ by a factor.
        delay: evaluations by which each token of the chunk starts later than the one before, for
            policies trained with a time per token (see `staggered`).
    """

    solver: str = "flow_euler"
    n_steps: int = 10
    grid: Grid = field(default_factory=UniformTime)
    options: Mapping[str, Any] = field(default_factory=dict)
    path: Path | str | None = None
    delay: float = 0.0

    @property
    def jumps(self) -> bool:
        """Whether the solver expects a network that jumps to the data (a consistency model)."""
        return get_solver(self.solver).jumps

    @torch.no_grad()
    def table(self, path: Path, horizon: int = 1) -> Table:
        """Compile the sampler for a network trained on `path`; imports diffusers.

        Args:
            path: the path of the training.
            horizon: H, which only a delay between tokens needs.

        Raises:
            PolicyError: an unknown solver, path or option, or a grid that does not decrease.
        """
        along = self._along(path)
        times = self.grid(self.n_steps, along)

        if along is not path:
            # Where the other path begins with more noise than was ever trained on, the whole grid
            # moves to begin at that: cut off there, its first times would coincide.
            latest = along.time_at(path.angle(torch.ones((), dtype=torch.float64)))
            times = times * (latest / times[0]).clamp(max=1)

        table = compile_table(self.solver, times, along, **self.options)
        self._check_stable(table, along)
        table = table if along is path else table.rebased(along, path)
        return staggered(table, path, horizon, self.delay)

    def _check_stable(self, table: Table, path: Path) -> None:
        """Refuse a table whose states are small differences of large multiples of the estimates."""
        lengths = torch.hypot(path.alpha(table.t), path.sigma(table.t))
        of_rows = torch.cat([lengths, lengths.new_ones(1)])
        worst = float((table.estimate / of_rows[:, None]).abs().max())
        if worst > UNSTABLE:
            raise PolicyError(
                f"solver '{self.solver}' would multiply the network's errors by {worst:.0f} on "
                "this grid; start later (policy.sampler.grid.start=0.98), take more steps, or "
                "choose another solver, such as exponential"
            )

    def _along(self, path: Path) -> Path:
        """Return the path to walk, for a network that was trained on `path`."""
        if self.path is None:
            return path
        if isinstance(self.path, Path):
            return self.path

        if self.path not in PATHS:
            raise unknown_name("path", self.path, PATHS)
        return PATHS[self.path]()

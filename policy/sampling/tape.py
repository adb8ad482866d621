"""Write a solver as an ordinary loop, and get its table.

A solver is a function `solve(tape, path, times, **options)` that makes states out of
`tape.start()`, `tape.estimate(x, t)` and `tape.noise()` by adding and scaling, and returns the last
state. On a `Tape` these are unit vectors, so each state *is* the row of the table; the same
function runs on real chunks with anything else that has these three methods.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..paths import Path
from .table import Table


@runtime_checkable
class Recorder(Protocol):
    """What a solver is written against; states may be tensors of any shape, or numbers."""

    def start(self) -> Any:
        """Return the initial standard normal noise."""

    def estimate(self, x: Any, t: float) -> Any:
        """Return the x_0 estimate at state x and time t."""

    def noise(self) -> Any:
        """Return fresh standard normal noise."""


#: solve(recorder, path, times `[n]`, **options) -> the last state
Solve = Callable[..., Any]


class Rehearsal:
    """Counts what a solver asks for; its states are numbers."""

    def __init__(self) -> None:
        self.n_evaluations = 0
        self.n_noises = 0

    def start(self) -> float:
        """Return a number for the initial noise."""
        return 0.0

    def estimate(self, x: float, t: float) -> float:
        """Count an evaluation."""
        self.n_evaluations += 1
        return 0.0

    def noise(self) -> float:
        """Count a draw of noise."""
        self.n_noises += 1
        return 0.0


class Tape:
    """Records a solver; its states are rows over [x_init, m_0 .. m_{N-1}, z_0 .. z_{M-1}].

    Args:
        n_evaluations: N, as counted by a `Rehearsal`.
        n_noises: M, likewise.
    """

    def __init__(self, n_evaluations: int, n_noises: int) -> None:
        unit = torch.eye(1 + n_evaluations + n_noises, dtype=torch.float64)
        self._start = unit[0]
        self._estimates: list[Tensor] = list(unit[1 : 1 + n_evaluations])
        self._noises: list[Tensor] = list(unit[1 + n_evaluations :])
        self._rows: list[Tensor] = []
        self._times: list[float] = []

    def start(self) -> Float[Tensor, "columns"]:
        """Return the unit vector of the initial noise."""
        return self._start

    def estimate(self, x: Float[Tensor, "columns"], t: float) -> Float[Tensor, "columns"]:
        """Record an evaluation at the state x, and return the unit vector of its estimate."""
        self._rows.append(x)
        self._times.append(t)
        return self._estimates.pop(0)

    def noise(self) -> Float[Tensor, "columns"]:
        """Return the unit vector of the next fresh noise."""
        return self._noises.pop(0)

    def table(self, last: Float[Tensor, "columns"]) -> Table:
        """Return the table whose last row is `last`."""
        n = len(self._rows)
        rows = torch.stack([*self._rows, last])
        noise = rows[:, 1 + n :]
        return Table(
            t=torch.tensor(self._times, dtype=torch.float64),
            init=rows[:, 0].clone(),
            estimate=rows[:, 1 : 1 + n].clone(),
            noise=noise[:, (noise != 0).any(0)],
        )


@dataclass(frozen=True)
class Written:
    """A solver of our own.

    Attributes:
        solve: the function; the first line of its docstring names its source.
        order: order of convergence; None for a solver that draws noise.
        settings: its options, where they differ from its own defaults.
        jumps: True if it expects jumps along the ODE to the data (a consistency model), not means.
    """

    solve: Solve
    order: float | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    jumps: bool = False

    @property
    def source(self) -> str:
        """Paper and algorithm."""
        return (self.solve.__doc__ or "").partition("\n")[0]

    @property
    def options(self) -> tuple[str, ...]:
        """The names of what a user may set."""
        return tuple(inspect.signature(self.solve).parameters)[3:]

    def compile(self, times: Float[Tensor, "n"], path: Path, options: Mapping[str, Any]) -> Table:
        """Return the table on the decreasing times of `path`."""
        chosen = {**self.settings, **options}

        rehearsal = Rehearsal()
        self.solve(rehearsal, path, times, **chosen)

        tape = Tape(rehearsal.n_evaluations, rehearsal.n_noises)
        return tape.table(self.solve(tape, path, times, **chosen))

"""Compile diffusers' schedulers into tables by feeding unit vectors through their own `step`.

Each solver is one entry of `SOLVERS`: the scheduler's class, its settings, the coordinates its
state lives in, and how it is told an explicit grid. The probe's sample `[1, W, 1]` holds one unit
vector a column of the table, so that the state after each step *is* the table's row. The rows are
then rescaled to the policy's path: two Gaussian paths at one noise angle differ only by a factor.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from .errors import PolicyError, unknown_name
from .paths import Path
from .tables import Table

#: Noise angle beyond which alpha counts as zero: alpha^2 = 2^-24, as in diffusers' zero-SNR rule.
STEEPEST = math.atan(2.0**12)


@dataclass(frozen=True)
class Coordinates:
    """The space of a scheduler's state: its length |(alpha, sigma)| at a noise angle."""

    length: Callable[[Tensor], Tensor]
    finite_start: bool


VP = Coordinates(torch.ones_like, finite_start=False)
VP_LOG = Coordinates(torch.ones_like, finite_start=True)  # solvers that take log(alpha)
VE = Coordinates(lambda angle: 1 / angle.cos(), finite_start=True)
FLOW = Coordinates(lambda angle: 1 / (angle.sin() + angle.cos()), finite_start=False)


@dataclass(frozen=True)
class Solver:
    """One scheduler of diffusers: how to build it, place its grid and speak its target.

    Attributes:
        scheduler: class name in diffusers.
        coordinates: where its state lives.
        install: puts decreasing noise angles `[n]` into a fresh scheduler.
        settings: constructor arguments.
        velocity: True if the scheduler wants (x - x_0) / sigma instead of x_0.
        source: paper and algorithm.
    """

    scheduler: str
    coordinates: Coordinates
    install: Callable[[Any, Tensor], None]
    source: str
    settings: dict[str, Any] = field(default_factory=dict)
    velocity: bool = False


def _install_cumprod(scheduler: Any, angles: Tensor) -> None:
    """DDPM and DDIM: the training grid is made the sampling grid, so each step goes t -> t - 1."""
    scheduler.set_timesteps(len(angles))
    scheduler.alphas_cumprod = angles.cos().flip(0) ** 2


def _sigmas(angles: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([curve(angles), angles.new_zeros(1)])


def _install_ratios(scheduler: Any, angles: Tensor) -> None:
    """Multistep solvers: sigmas are sigma / alpha."""
    scheduler.set_timesteps(len(angles))
    scheduler.sigmas = _sigmas(angles, torch.tan)


def _install_pairs(scheduler: Any, angles: Tensor) -> None:
    """Heun: every inner level is evaluated twice, as corrector and as predictor."""
    scheduler.set_timesteps(len(angles))
    curve = torch.tan if scheduler.__class__.__name__ == "HeunDiscreteScheduler" else _flow_sigma
    levels = _sigmas(angles, curve)
    scheduler.sigmas = torch.cat([levels[:1], levels[1:-1].repeat_interleave(2), levels[-1:]])


def _flow_sigma(angles: Tensor) -> Tensor:
    return angles.sin() / (angles.sin() + angles.cos())


def _install_flow(scheduler: Any, angles: Tensor) -> None:
    scheduler.set_timesteps(len(angles))
    scheduler.sigmas = _sigmas(angles, _flow_sigma)


_GRID_IS_TRAINING = {"timestep_spacing": "trailing", "clip_sample": False}
_SAMPLE = {"prediction_type": "sample"}

SOLVERS: dict[str, Solver] = {
    "ddpm": Solver(
        "DDPMScheduler",
        VP,
        _install_cumprod,
        "Ho et al. 2020, algorithm 2",
        {**_SAMPLE, **_GRID_IS_TRAINING},
    ),
    "ddim": Solver(
        "DDIMScheduler",
        VP,
        _install_cumprod,
        "Song et al. 2021, eq. 12",
        {**_SAMPLE, **_GRID_IS_TRAINING},
    ),
    "dpmpp_2m": Solver(
        "DPMSolverMultistepScheduler",
        VP_LOG,
        _install_ratios,
        "Lu et al. 2022b, algorithm 2",
        {**_SAMPLE, "solver_order": 2},
    ),
    "dpmpp_3m": Solver(
        "DPMSolverMultistepScheduler",
        VP_LOG,
        _install_ratios,
        "Lu et al. 2022b, order 3",
        {**_SAMPLE, "solver_order": 3},
    ),
    "unipc": Solver(
        "UniPCMultistepScheduler",
        VP_LOG,
        _install_ratios,
        "Zhao et al. 2023, UniPC-2 with B_2(h)",
        {**_SAMPLE, "solver_order": 2},
    ),
    "heun": Solver(
        "HeunDiscreteScheduler",
        VE,
        _install_pairs,
        "Karras et al. 2022, algorithm 1",
        _SAMPLE,
    ),
    "flow_euler": Solver(
        "FlowMatchEulerDiscreteScheduler",
        FLOW,
        _install_flow,
        "Lipman et al. 2023, Euler",
        velocity=True,
    ),
    "flow_heun": Solver(
        "FlowMatchHeunDiscreteScheduler",
        FLOW,
        _install_pairs,
        "Heun's method on straight lines",
        velocity=True,
    ),
}


def build_scheduler(solver: Solver, angles: Tensor) -> Any:
    """Return a fresh diffusers scheduler that visits exactly the decreasing `angles` `[n]`."""
    cls = getattr(importlib.import_module("diffusers"), solver.scheduler)
    settings = dict(solver.settings)
    if solver.install is _install_cumprod:
        settings["num_train_timesteps"] = len(angles)
    scheduler = cls(**settings)
    solver.install(scheduler, angles)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler


def row_angles(solver: Solver, scheduler: Any, angles: Tensor) -> Tensor:
    """Return the noise angle of every table row `[N + 1]`; the last row is data, angle 0."""
    if solver.install is not _install_pairs:
        return torch.cat([angles, angles.new_zeros(1)])
    doubled = torch.cat([angles[:1], angles[1:].repeat_interleave(2)])
    return torch.cat([doubled, angles.new_zeros(1)])


def clip_angles(solver: Solver, angles: Tensor) -> Tensor:
    """Keep alpha above zero for the solvers that divide by it or take its logarithm."""
    return angles.clamp(max=STEEPEST) if solver.coordinates.finite_start else angles


def model_output(solver: Solver, state: Tensor, sample: Tensor, angle: Tensor) -> Tensor:
    """Return the x_0 estimate `sample` at `state` in the words of the solver's scheduler."""
    return (state - sample) / _flow_sigma(angle) if solver.velocity else sample


@contextmanager
def noise_from(scheduler: Any, draw: Callable[..., Tensor]) -> Iterator[None]:
    """Let the scheduler draw its noise from `draw(shape)`."""
    module = inspect.getmodule(type(scheduler))
    if not hasattr(module, "randn_tensor"):
        yield
        return
    with patch.object(module, "randn_tensor", lambda shape, **_: draw(shape)):
        yield


def get_solver(name: str) -> Solver:
    """Return the solver of that name.

    Raises:
        PolicyError: there is none.
    """
    if name not in SOLVERS:
        raise unknown_name("solver", name, SOLVERS)
    return SOLVERS[name]


def compile_table(name: str, t: Tensor, path: Path, **step_options: float) -> Table:
    """Compile the solver `name` on the decreasing times t `[n]` of `path` into a table.

    Args:
        name: a key of `SOLVERS`.
        t: evaluation times, decreasing in (0, 1]; the solver ends at t = 0.
        path: the path the network was trained on; its own coordinates are those of the table.
        step_options: passed on to the scheduler's `step`, e.g. `eta` for DDIM.

    Raises:
        PolicyError: unknown solver, times that do not decrease, or an option `step` does not take.
    """
    solver = get_solver(name)
    times = t.double()
    if len(times) == 0 or bool((times.diff() >= 0).any()) or not 0 < times[-1] <= times[0] <= 1:
        raise PolicyError(f"a sampler's grid must decrease within (0, 1]; got {times.tolist()}")
    angles = clip_angles(solver, path.angle(times))
    scheduler = build_scheduler(solver, angles)
    unknown = set(step_options) - set(inspect.signature(scheduler.step).parameters)
    if unknown:
        raise PolicyError(f"solver '{name}' takes no option {sorted(unknown)}")
    levels = row_angles(solver, scheduler, angles)
    rows = _probe(solver, scheduler, levels, step_options)

    lengths = solver.coordinates.length(levels)
    here = path.time_at(levels)
    ours = torch.hypot(path.alpha(here), path.sigma(here))
    rows = rows * (ours / lengths)[:, None]
    n = len(levels) - 1
    # The chain starts from noise of the first level's sigma, in the scheduler's coordinates.
    init = rows[:, 0] * lengths[0] * levels[0].sin()
    noise = rows[:, 1 + n :]
    return Table(here[:n], init, rows[:, 1 : 1 + n], noise[:, (noise != 0).any(0)])


def _probe(
    solver: Solver, scheduler: Any, levels: Tensor, step_options: dict[str, float]
) -> Tensor:
    """Drive the scheduler with unit vectors and return its rows `[N + 1, 1 + N + N]`."""
    n = len(levels) - 1
    unit = torch.eye(1 + 2 * n, dtype=torch.float64)
    drawn = 0

    def draw(shape: torch.Size) -> Tensor:
        nonlocal drawn
        drawn += 1
        return unit[n + drawn].reshape(shape)

    state = unit[0].reshape(1, -1, 1)
    rows = [unit[0]]
    with noise_from(scheduler, draw):
        for k in range(n):
            estimate = unit[1 + k].reshape(1, -1, 1)
            output = model_output(solver, state, estimate, levels[k])
            step = scheduler.step(output, scheduler.timesteps[k], state, **step_options)
            state = step.prev_sample.double()
            rows.append(state.reshape(-1))
    return torch.stack(rows)

"""Read the table of one of diffusers' schedulers off its own `step`, with unit vectors.

The probe's sample `[1, W, 1]` holds one unit vector a column of the table, so that the state after
each step *is* the table's row. The rows are then rescaled to the policy's path: two Gaussian paths
at one noise angle differ only by a factor.
"""

from __future__ import annotations

import importlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor

from ...paths import Path
from ..table import Table

#: Noise angle beyond which alpha counts as zero: alpha^2 = 2^-24, as in diffusers' zero-SNR rule.
STEEPEST = math.atan(2.0**12)
#: Noise angle below which 1 - alpha^2 is lost in double precision.
FLATTEST = 1e-6


@dataclass(frozen=True)
class Coordinates:
    """The space of a scheduler's state.

    Attributes:
        length: |(alpha, sigma)| at a noise angle.
        flattest: the least noise angle at which the scheduler can compute.
        steepest: the largest one.
    """

    length: Callable[[Tensor], Tensor]
    flattest: float = 0.0
    steepest: float = math.pi / 2

    def clip(self, angles: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the angles held within what the scheduler can compute."""
        return angles.clamp(self.flattest, self.steepest)

    def level(
        self, angle: Float[Tensor, "*shape"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Return alpha and sigma at a noise angle."""
        return self.length(angle) * angle.cos(), self.length(angle) * angle.sin()


#: A state of the scheduler, or an x_0 estimate.
State = Float[Tensor, "*shape"]
#: One number of float64, as a tensor without axes.
Number = Float[Tensor, ""]
#: (state, x_0 estimate, alpha, sigma) -> the model output that says the same to the scheduler.
Language = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sample(state: State, estimate: State, alpha: Number, sigma: Number) -> State:
    """The scheduler takes x_0."""
    return estimate


def epsilon(state: State, estimate: State, alpha: Number, sigma: Number) -> State:
    """The scheduler takes the noise."""
    return (state - alpha * estimate) / sigma


def velocity(state: State, estimate: State, alpha: Number, sigma: Number) -> State:
    """The scheduler takes eps - x_0, with alpha + sigma = 1."""
    return (state - estimate) / sigma


def v_prediction(state: State, estimate: State, alpha: Number, sigma: Number) -> State:
    """The scheduler takes alpha eps - sigma x_0 of the variance-preserving path."""
    length = torch.hypot(alpha, sigma)
    return (state * alpha / length**2 - estimate) * length / sigma


def _construct(cls: Any, settings: dict[str, Any]) -> Any:
    """Make a scheduler of its settings."""
    return cls(**settings)


@dataclass(frozen=True)
class Scheduler:
    """One scheduler of diffusers: how to build it, place its grid and speak its language.

    Attributes:
        name: class name in diffusers.
        coordinates: where its state lives.
        install: puts decreasing noise angles `[n]` into a fresh scheduler and returns those of the
            states that its steps pass, the first included; a last state short of the data is
            followed by one more row, the last x_0 estimate.
        source: paper and algorithm.
        order: order of convergence; None for a solver that draws noise.
        settings: constructor arguments.
        options: what a user may set, of the constructor's arguments and of those of `step`.
        language: how it is told an x_0 estimate.
        construct: makes it from its class and settings.
        jumps: True if it expects jumps along the ODE to the data (a consistency model), not means.
        extrapolates: True if its last step mixes earlier estimates; ours ends in the last x_0
            estimate all the same, which alone a clamp or a projection has seen whole.
    """

    name: str
    coordinates: Coordinates
    install: Callable[[Any, Tensor], Tensor]
    source: str
    order: float | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    language: Language = sample
    construct: Callable[[Any, dict[str, Any]], Any] = _construct
    jumps: bool = False
    extrapolates: bool = False

    def build(
        self, angles: Float[Tensor, "n"], **options: Any
    ) -> tuple[Any, Float[Tensor, "states"]]:
        """Return a fresh scheduler that visits the decreasing `angles`, and its levels.

        Options for `step` are left out. The levels are the noise angles of the states.
        """
        cls = getattr(importlib.import_module("diffusers"), self.name)
        chosen = {
            k: v for k, v in options.items() if k not in inspect.signature(cls.step).parameters
        }
        scheduler = self.construct(cls, {**self.settings, **chosen})
        scheduler.is_scale_input_called = True  # there is no network whose input could be scaled

        levels = self.install(scheduler, self.coordinates.clip(angles))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        return scheduler, levels

    def output(self, state: State, estimate: State, angle: Number) -> State:
        """Return the x_0 estimate at `state` and a noise angle in the scheduler's language."""
        return self.language(state, estimate, *self.coordinates.level(angle))

    def compile(self, times: Float[Tensor, "n"], path: Path, options: Mapping[str, Any]) -> Table:
        """Return the table on the decreasing times of `path`."""
        with warnings.catch_warnings():
            # KDPM2 and DEIS call numpy's functions with tensors, which numpy deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler, levels = self.build(path.angle(times), **options)
            known = inspect.signature(scheduler.step).parameters
            rows = self._probe(scheduler, levels, {k: v for k, v in options.items() if k in known})

        n = rows.shape[0] - 1
        # The chain starts from noise of the first level's sigma, in the scheduler's coordinates;
        # the last row is data, the same in all coordinates.
        rows[:, 0] *= self.coordinates.level(levels[0])[1]
        here = path.time_at(levels[:n])
        length = torch.hypot(path.alpha(here), path.sigma(here))
        rows[:n] *= (length / self.coordinates.length(levels[:n]))[:, None]

        noise = rows[:, 1 + n :]
        return Table(
            t=here,
            init=rows[:, 0].clone(),
            estimate=rows[:, 1 : 1 + n].clone(),
            noise=noise[:, (noise != 0).any(0)],
        )

    def _probe(
        self, scheduler: Any, levels: Float[Tensor, "states"], step_options: Mapping[str, Any]
    ) -> Float[Tensor, "rows columns"]:
        """Drive the scheduler with unit vectors and return its rows."""
        n_steps = len(levels) - 1
        n = n_steps if levels[-1] == 0 else n_steps + 1
        unit = torch.eye(1 + 2 * n, dtype=torch.float64)
        fresh = iter(unit[1 + n :])
        state = unit[0].reshape(1, -1, 1)
        rows = [state.flatten()]

        with (
            noise_from(scheduler, lambda shape: next(fresh).reshape(shape)),
            patch.object(inspect.getmodule(type(scheduler)), "torch", _DoubleTorch()),
        ):
            for k in range(n_steps):
                output = self.output(state, unit[1 + k].reshape(1, -1, 1), levels[k])
                step = scheduler.step(output, scheduler.timesteps[k], state, **step_options)
                state = step.prev_sample
                rows.append(state.flatten())

        if n > n_steps:
            rows.append(unit[n])
        elif self.extrapolates:
            rows[-1] = unit[n]
        return torch.stack(rows)


@contextmanager
def noise_from(scheduler: Any, draw: Callable[..., Tensor]) -> Iterator[None]:
    """Let the scheduler draw its noise from `draw(shape)`."""
    module = inspect.getmodule(type(scheduler))
    if not hasattr(module, "randn_tensor"):
        yield
        return
    with patch.object(module, "randn_tensor", lambda shape, **_: draw(shape)):
        yield


class _DoubleTorch:
    """The module torch as the probed scheduler sees it: where it asks for single precision."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

"""How fast an environment steps, and how its episodes are spread over processes for that."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from .nodes import make_env
from .settings import TaskSettings

SLOW_SECONDS = 2e-3
"""A step from which on the environment, not the network, is what an evaluation waits for."""
MEASURED_SECONDS = 0.5
MEASURED_STEPS = 20
Auto = Literal["auto"]


@dataclass(frozen=True)
class Pace:
    """What a first look at a task's environment says.

    Attributes:
        step_seconds: of one step; None for our own tasks, which are known to be fast.
        bridged: whether each environment is a process by itself.
        notes: what a user should know, one line each.
    """

    step_seconds: float | None = None
    bridged: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_slow(self) -> bool:
        """Whether more processes are worth their start."""
        return self.step_seconds is not None and self.step_seconds >= SLOW_SECONDS

    def workers(self, asked: int | Auto) -> int:
        """Return the number of processes: every core where steps are slow, else two at most."""
        if asked != "auto":
            return asked
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cores or 1 if self.is_slow else min(2, cores or 1)

    def envs(self, asked: int | Auto, batch_size: int = 1) -> int:
        """Return the number of environments in each.

        They share the network's calls, which pays where those are batched; environments that are
        processes by themselves cost memory.
        """
        if asked != "auto":
            return asked
        return min(batch_size, 16) if self.bridged else 16


def probe(task: TaskSettings) -> Pace:
    """Make a task's environment once, and take a few steps of it.

    Raises:
        EnvError: it cannot be made, or is not what the policy was trained for.
    """
    if not task.is_foreign:
        return Pace()
    with closing(make_env(task)()) as env:
        return Pace(_step_seconds(env), task.env_python is not None, tuple(env.notes))


def _step_seconds(env: Any) -> float:
    """Return the seconds of a step in an environment's own terms, the first left out."""
    import numpy as np

    env = env.env  # what a user's rule asks of an episode is of no interest here
    space = env.action_space
    low, high = (np.clip(end, -1.0, 1.0) for end in (space.low, space.high))
    action = ((low + high) / 2).astype(space.dtype)
    env.reset(seed=0)
    env.step(action)
    n_steps = 0
    ended = False
    started = time.perf_counter()
    while not ended and n_steps < MEASURED_STEPS:
        *_, terminated, truncated, _ = env.step(action)
        n_steps += 1
        late = time.perf_counter() - started > MEASURED_SECONDS
        ended = bool(terminated or truncated or late)
    return (time.perf_counter() - started) / n_steps

"""What is known of a task without importing its code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .rollouts.perturbation import ActionPushes


@dataclass(frozen=True)
class EntryPoint:
    """A callable of this package, imported when it is first called; crosses to worker processes.

    Attributes:
        module: the module's full name.
        name: of the class or function in it.
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import and return the callable itself."""
        return getattr(import_module(self.module), self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import the callable and call it."""
        return self.load()(*args, **kwargs)


@dataclass(frozen=True)
class TaskSpec:
    """One task: its name, its environment, and everything that is a fact of the task.

    Attributes:
        env_id: the name in gymnasium's registry.
        make_env: makes the environment.
        control_rate_hz: actions a second.
        action_meaning: "absolute" or "relative".
        action_units: units of the action's numbers.
        expert: makes the scripted expert, an `Actor` (see rollouts/control_loop.py); None where
            there is none.
        symmetry: gives the maps of observations and actions that change nothing but the view,
            key -> (matrix `[n, n]`, offset `[n]`); None where there are none.
        push_scale: `[Da]` standard deviations of the pushes under which demonstrations are
            collected, in the action's units; None collects without.
    """

    env_id: str
    make_env: EntryPoint
    control_rate_hz: float
    action_meaning: str
    action_units: str
    expert: EntryPoint | None = None
    symmetry: EntryPoint | None = None
    push_scale: tuple[float, ...] | None = None

    def perturbation(self, strength: float = 1.0) -> ActionPushes | None:
        """Return the pushes of demonstrations, `strength` times as strong; None without any."""
        if self.push_scale is None:
            return None
        return ActionPushes([strength * scale for scale in self.push_scale])

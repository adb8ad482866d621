"""The environment that a command names beside the task, and the settings that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..command.values import Count, Positive
from .settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class EnvChoices:
    """See `configs/environment.yaml`; None leaves what the task says."""

    env: str | None = None
    env_kwargs: Mapping[str, Any] | None = None
    env_setup: str | None = None
    env_python: str | None = None
    env_timeout: Positive | None = None
    success: str | None = None
    max_steps: Count | None = None
    rename: Mapping[str, str] | None = None
    action_bounds: Literal["clip", "refuse"] | None = None


def with_choices(task: TaskSettings, settings: Any) -> TaskSettings:
    """Return the task in the environment that a verb's settings name, if they name one.

    Args:
        task: what is to be done; what it says of its own environment does not hold for another.
        settings: with the fields of `EnvChoices`; any that is absent changes nothing.
    """
    env = getattr(settings, "env", None)
    if env is not None:
        task = TaskSettings(
            name=task.name,
            env_id=_address(env),
            obs_keys=task.obs_keys,
            control_rate_hz=task.control_rate_hz,
            observes=task.observes,
            action_dim=task.action_dim,
        )
    names = [each.name for each in fields(EnvChoices) if each.name != "env"]
    chosen = {name: getattr(settings, name, None) for name in names}
    return replace(task, **{name: value for name, value in chosen.items() if value is not None})


def command(task: TaskSettings) -> str:
    """Return the words that name a task's environment on a command line."""
    names = ("env_setup", "env_python", "success", "max_steps")
    said = {name: getattr(task, name) for name in names}
    words = [f"{name}={value}" for name, value in said.items() if value is not None]
    return " ".join([f"env={task.env_id}", *words])


def _address(env: str) -> str:
    """Return an address in the shortest form that names the same: our own tasks by their id."""
    from kinoise.envs import task_spec

    bare = env.removeprefix("gym:")
    return env if task_spec(bare) is None else bare

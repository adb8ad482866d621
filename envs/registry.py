"""The tasks by name, registered with gymnasium."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import gymnasium

from .errors import unknown_name

TASKS = {
    "kinoise/PickPlace-v0": f"{__package__}.tasks.pick_place:make_env",
    "kinoise/PushT-v0": f"{__package__}.tasks.push_t:make_env",
}
"""Our own tasks: id -> entry point. A test holds every one of them to the same contract."""

SUITES = {"kinoise/GymPushT-v0": f"{__package__}.suites.gym_pusht:GymPushT"}
"""Other people's tasks behind an adapter; each needs its extra installed."""

EXPERTS = {
    "kinoise/PickPlace-v0": f"{__package__}.experts.pick_place:PickPlaceExpert",
    "kinoise/PushT-v0": f"{__package__}.experts.push_t:PushTExpert",
}
"""Id -> the class of the task's scripted expert."""

ENTRY_POINTS = {**TASKS, **SUITES}


def make_env(env_id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Return the environment registered as `env_id`, without gymnasium's per-step checks.

    `functools.partial(make_env, env_id, ...)` is a factory that crosses to worker processes.
    Raises EnvError for an unknown id or argument, naming the nearest known one.
    """
    if env_id not in gymnasium.registry:
        raise unknown_name("task", env_id, ENTRY_POINTS)
    if env_id in ENTRY_POINTS:
        _check_arguments(env_id, kwargs)
    return gymnasium.make(env_id, disable_env_checker=True, **kwargs)


def make_expert(env_id: str, **kwargs: Any) -> Any:
    """Return the scripted expert of a task, an Actor (see rollout.py)."""
    if env_id not in EXPERTS:
        raise unknown_name("expert of task", env_id, EXPERTS)
    return _load(EXPERTS[env_id])(**kwargs)


def _check_arguments(env_id: str, kwargs: dict[str, Any]) -> None:
    parameters = inspect.signature(_load(ENTRY_POINTS[env_id])).parameters
    known = {key for key, value in parameters.items() if value.kind is not value.VAR_KEYWORD}
    if len(known) < len(parameters):
        # The entry points of our tasks pass their arguments on to MujocoEnv.
        shared = _load(f"{__package__}.mujoco_env:MujocoEnv")
        known |= set(inspect.signature(shared).parameters) - {"task"}
    for key in kwargs:
        if key not in known:
            raise unknown_name(f"argument of {env_id}", key, known)


def _load(entry_point: str) -> Any:
    module, _, name = entry_point.partition(":")
    return getattr(import_module(module), name)


def _register() -> None:
    for env_id, entry_point in ENTRY_POINTS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(id=env_id, entry_point=entry_point)


_register()

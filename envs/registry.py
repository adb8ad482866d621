"""The tasks by name, registered with gymnasium.

Every folder of tasks/ and every module of suites/ declares itself as its `SPEC`; both are found by
looking, so that a new task is a new folder and no row here.
"""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

import gymnasium

from . import suites, tasks
from .arguments import check_arguments
from .errors import EnvError, unknown_name
from .foreign import Connection, ForeignEnv, open_foreign
from .spec import EntryPoint, TaskSpec


def _specs(package: ModuleType) -> dict[str, TaskSpec]:
    """Return env id -> SPEC of everything that stands in a package."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    specs = [import_module(f"{package.__name__}.{name}").SPEC for name in names]
    return {spec.env_id: spec for spec in specs}


TASKS = _specs(tasks)
"""Our own tasks by id. A test holds every one of them to the same contract."""

SUITES = _specs(suites)
"""Other people's tasks behind an adapter, by id; each needs its extra installed."""

_KNOWN = {**TASKS, **SUITES}
_TASK_ENV = EntryPoint(f"{__package__}.task_env", "TaskEnv")


def task_spec(env_id: str) -> TaskSpec | None:
    """Return what is known of a registered task; None for an id that is not ours."""
    return _KNOWN.get(env_id)


def make_env(
    env_id: str,
    *,
    success: str | None = None,
    connection: Connection | None = None,
    **kwargs: Any,
) -> gymnasium.Env[Any, Any]:
    """Return an environment whose observations, actions and `info` are as rollouts want them.

    `functools.partial(make_env, env_id, ...)` is a factory that crosses to worker processes.

    Args:
        env_id: one of ours, or the address of another: `gym:Name-v0`, `gym:module:Name-v0` or
            `factory:module:function` (see `bridge.child.open_env`). It can import modules and call
            functions: never take one from a file of unknown origin.
        success: for an environment that is not ours, what success means (see `foreign.success`).
        connection: for one that is not ours, everything else that is to be said of it.
        **kwargs: arguments of the environment.

    Raises:
        EnvError: an unknown id, an argument that does not exist or has the wrong type, or an
            environment whose spaces cannot be used.
    """
    env_id = env_id.removeprefix("gym:") if task_spec(env_id.removeprefix("gym:")) else env_id
    spec = task_spec(env_id)
    if spec is None:
        connection = replace(connection or Connection(), **_said(success=success))
        env = open_foreign(env_id, connection, kwargs)
        try:
            return ForeignEnv(env, connection)
        except BaseException:
            env.close()
            raise
    if success is not None:
        raise EnvError(f"{env_id} reports success itself; leave `success` out")
    check_arguments(env_id, [spec.make_env.load(), _TASK_ENV.load()], kwargs)
    return gymnasium.make(env_id, disable_env_checker=True, **kwargs)


def make_expert(env_id: str) -> Any:
    """Return the scripted expert of a task, an `Actor` (see rollouts/control_loop.py).

    Raises:
        EnvError: the task has none.
    """
    spec = task_spec(env_id)
    if spec is None or spec.expert is None:
        experts = [name for name, known in _KNOWN.items() if known.expert is not None]
        raise unknown_name("expert of task", env_id, experts)
    return spec.expert()


def _said(**choices: Any) -> dict[str, Any]:
    return {name: value for name, value in choices.items() if value is not None}


def _register() -> None:
    for env_id, spec in _KNOWN.items():
        if env_id not in gymnasium.registry:
            point = spec.make_env
            gymnasium.register(id=env_id, entry_point=f"{point.module}:{point.name}")


_register()

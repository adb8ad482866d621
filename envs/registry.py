"""The tasks by name, registered with gymnasium.

Every folder of tasks/ and every module of suites/ declares itself as its `SPEC`; both are found by
looking, so that a new task is a new folder and no row here.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

import gymnasium

from . import suites, tasks
from .arguments import check_arguments
from .errors import EnvError, unknown_name
from .foreign import ForeignEnv
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


def make_env(env_id: str, *, success: str | None = None, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Return an environment whose observations, actions and `info` are as rollouts want them.

    `functools.partial(make_env, env_id, ...)` is a factory that crosses to worker processes.

    Args:
        env_id: one of ours, or any id that gymnasium can make. An id `module:Name-v0` imports the
            module: never take one from a file of unknown origin.
        success: for an id that is not ours, what success means (see `ForeignEnv`).
        **kwargs: arguments of the environment.

    Raises:
        EnvError: an unknown id, an argument that does not exist or has the wrong type, or an
            environment whose spaces cannot be used.
    """
    spec = task_spec(env_id)
    if spec is None:
        return ForeignEnv(_make_foreign(env_id, kwargs), success=success)
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


def _make_foreign(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    if ":" not in env_id and env_id not in gymnasium.registry:
        raise unknown_name("task", env_id, gymnasium.registry, fallback=_KNOWN)
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise EnvError(f"gymnasium cannot make {env_id!r}: {reason}") from error


def _register() -> None:
    for env_id, spec in _KNOWN.items():
        if env_id not in gymnasium.registry:
            point = spec.make_env
            gymnasium.register(id=env_id, entry_point=f"{point.module}:{point.name}")


_register()

"""The task that a configuration or a checkpoint names: its environment and its observations.

A task is data, `{name, env_id, env_kwargs, obs_keys}`, and never names code: what belongs to the
task itself (expert, rate, symmetry) is looked up in `kinoise.envs` by `env_id`. A checkpoint may
come from anywhere, so its task is one of ours or needs the user's word (`trust=true`): making an
environment of others can import modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..command.errors import UsageError, suggest
from .environment import command, with_choices
from .settings import TaskSettings

KEYS = (
    "name",
    "env_id",
    "env_kwargs",
    "obs_keys",
    "success",
    "control_rate_hz",
    "env_setup",
    "env_python",
    "env_timeout",
    "max_steps",
    "rename",
    "action_bounds",
)
"""What a task's node may hold."""

OLD_KEYS = ("env", "expert", "perturb", "symmetry", "action")
"""What the nodes of version 0.1 held besides; all but `env` is the task's own affair now."""

NO_SETTINGS = ("observes", "action_dim")
"""What a training keeps besides; a policy and its data say it themselves."""


def task_of(settings: Any, checkpoint: Path | None = None) -> TaskSettings:
    """Return the task that a verb's settings name, else the one a checkpoint learned.

    Args:
        settings: with a node `task`, or None there, and with `trust` where a checkpoint may name
            the task.
        checkpoint: whose task it is where the settings name none.

    Raises:
        UsageError: neither names one, a node is wrong, or the checkpoint's needs trust.
    """
    from omegaconf import DictConfig, OmegaConf

    node = settings.task
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if node is not None:
        task = read_task(node)
        return with_choices(_fitted(task, checkpoint), settings)
    if checkpoint is None:
        raise UsageError("no task; choose one with task=NAME")

    from kinoise.policy.checkpoints import read_config

    task = read_task(read_config(checkpoint).get("task"))
    if getattr(settings, "env", None) is None:
        _check_trust(task, trusted=getattr(settings, "trust", False))
    return with_choices(_fitted(task, checkpoint), settings)


def _check_trust(task: TaskSettings, *, trusted: bool) -> None:
    """Refuse what a checkpoint may not decide.

    Raises:
        UsageError: its environment is none of ours and nobody trusts it, or it asks for more than
            an environment.
    """
    if not task.is_foreign:
        return
    if task.env_setup or task.env_python or str(task.env_id).startswith("factory:"):
        raise UsageError(
            f"the checkpoint's task calls for code of its own; if you know it, name it yourself: "
            f"{command(task)}"[:300]
        )
    if not trusted:
        raise UsageError(
            f"the checkpoint's task runs in {task.env_id!r:.80}, which is none of Kinoise's own "
            "environments and may run foreign code; give env=... or task=NAME, or trust=true if "
            "you know where the checkpoint comes from"
        )


def _fitted(task: TaskSettings, checkpoint: Path | None) -> TaskSettings:
    """Return the task with the shapes that a checkpoint's policy was trained on."""
    if checkpoint is None:
        return task

    from kinoise.policy.checkpoints import read_config

    policy = read_config(checkpoint).get("policy") or {}
    shapes = policy.get("obs_shapes")
    if not shapes:
        return task
    observes = {key: tuple(shape) for key, shape in shapes.items()}
    return replace(task, observes=observes, action_dim=policy.get("action_dim"))


def read_task(node: Any) -> TaskSettings:
    """Return what a task's node says; a node of version 0.1 is read as data, its code ignored.

    Args:
        node: plain dicts, lists and scalars. Nothing in it is resolved, imported or called.

    Raises:
        UsageError: the node is not of that form.
    """
    if not isinstance(node, Mapping):
        raise UsageError("no task is named here; choose one with task=NAME")
    unknown = [str(key) for key in node if key not in (*KEYS, *OLD_KEYS, *NO_SETTINGS)]
    if unknown:
        hint = suggest(unknown[0], KEYS) or f"; it has: {', '.join(KEYS)}"
        raise UsageError(f"a task has no setting '{unknown[0]:.60}'{hint}")

    entries: dict[str, Any] = {key: node[key] for key in KEYS if node.get(key) is not None}
    if "env" in node:
        entries |= _old_environment(node["env"])
    entries = {"env_id": None, "env_kwargs": {}, "obs_keys": [], **entries}
    for key, (kind, is_right) in _FORMS.items():
        if key in entries and not is_right(entries[key]):
            raise UsageError(f"task.{key} is {kind}, not {entries[key]!r:.60}")
    if "name" not in entries:
        raise UsageError("the task has no name; give task.name=NAME")
    return TaskSettings(**entries)


def make_env(task: TaskSettings) -> Callable[..., Any]:
    """Return the picklable factory of a task's environment.

    Raises:
        UsageError: the task has none.
    """
    from kinoise.envs import Connection, make_env

    if task.env_id is None:
        raise UsageError(
            f"task '{task.name}' has no environment to run in; name one: env=gym:NAME, or task=NAME"
        )
    if not task.is_foreign:
        stated = {"max_steps": task.max_steps, "success": task.success}
        given: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
        return partial(make_env, task.env_id, **given, **task.env_kwargs)
    connection = Connection(
        setup=task.env_setup,
        python=task.env_python,
        timeout=task.env_timeout,
        success=task.success,
        max_steps=task.max_steps,
        rename=task.rename,
        bounds=task.action_bounds,
        observes=task.observes,
        action_dim=task.action_dim,
    )
    return partial(make_env, task.env_id, connection=connection, **task.env_kwargs)


def env_shapes(task: TaskSettings) -> dict[str, tuple[int, ...]] | None:
    """Return observation key -> shape and "action" -> shape of the task, None without an env.

    Raises:
        UsageError: the environment does not have an observation that the task names.
    """
    if task.env_id is None:
        return None
    env = make_env(task)()
    try:
        spaces = {key: tuple(space.shape) for key, space in env.observation_space.spaces.items()}
        missing = [key for key in task.obs_keys if key not in spaces]
        if missing:
            raise UsageError(f"task '{task.name}' observes {sorted(spaces)}, not {missing}")
        return {**spaces, "action": tuple(env.action_space.shape)}
    finally:
        env.close()


def control_rate(task: TaskSettings) -> float:
    """Return a task's actions a second: the task's own, the configured, or the environment's.

    Raises:
        UsageError: none of them says.
    """
    if task.spec is not None:
        return task.spec.control_rate_hz
    if task.control_rate_hz is not None:
        return float(task.control_rate_hz)
    env = make_env(task)()
    rate = env.metadata.get("render_fps")
    env.close()
    if not rate:
        raise UsageError(
            f"task '{task.name}' has no rate; give rate_hz=HZ, or control_rate_hz in your task"
        )
    return float(rate)


def _old_environment(node: Any) -> dict[str, Any]:
    """Return `env_id` and `env_kwargs` of version 0.1's `task.env`."""
    if node is None:
        return {"env_id": None}
    if not isinstance(node, Mapping) or "env_id" not in node:
        raise UsageError("task.env names no env_id; choose another task with task=NAME")
    kwargs = {key: node[key] for key in node if key not in ("_target_", "_partial_", "env_id")}
    return {"env_id": node["env_id"], "env_kwargs": kwargs}


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_rule(value: Any) -> bool:
    from kinoise.envs.errors import EnvError
    from kinoise.envs.foreign.success import read_rule

    try:
        return _is_line(value) and read_rule(value) is not None
    except EnvError:
        return False


def _is_rate(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < float("inf")


_FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a line of text", _is_line),
    "env_id": ("the id of an environment", lambda value: value is None or _is_line(value)),
    "env_kwargs": (
        "arguments by name",
        lambda value: isinstance(value, Mapping) and all(map(_is_line, value)),
    ),
    "obs_keys": (
        "a list of names",
        lambda value: isinstance(value, list) and all(map(_is_line, value)),
    ),
    "success": ("info, terminated or a rule such as 'reward>=0.95'", _is_rule),
    "env_setup": ("functions, module:function", _is_line),
    "env_python": ("the path of a Python", _is_line),
    "env_timeout": ("a positive number", _is_rate),
    "max_steps": ("a whole number", lambda value: isinstance(value, int) and value > 0),
    "rename": (
        "names by name",
        lambda value: (
            isinstance(value, Mapping)
            and all(_is_line(name) for item in value.items() for name in item)
        ),
    ),
    "action_bounds": ("'clip' or 'refuse'", lambda value: value in ("clip", "refuse")),
    "control_rate_hz": ("a positive number", _is_rate),
}

"""The task that a configuration or a checkpoint names: its environment and its observations.

A task is data, `{name, env_id, env_kwargs, obs_keys}`, and never names code: what belongs to the
task itself (expert, rate, symmetry) is looked up in `kinoise.envs` by `env_id`. A checkpoint may
come from anywhere, so its task is one of ours or needs the user's word (`trust=true`): making an
environment of others can import modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command.errors import UsageError, suggest

if TYPE_CHECKING:
    from kinoise.envs import TaskSpec

KEYS = ("name", "env_id", "env_kwargs", "obs_keys", "success", "control_rate_hz")
"""What a task's node may hold."""

OLD_KEYS = ("env", "expert", "perturb", "symmetry", "action")
"""What the nodes of version 0.1 held besides; all but `env` is the task's own affair now."""


@dataclass(frozen=True)
class TaskSettings:
    """What a `task` node says.

    Attributes:
        name: what reports and folders call the task.
        env_id: of the environment; None where there is none to run in.
        env_kwargs: arguments of the environment.
        obs_keys: the observations that a policy sees.
        success: for an environment of others, what counts as success (see
            `kinoise.envs.foreign.ForeignEnv`).
        control_rate_hz: for an environment of others, actions a second.
    """

    name: str
    env_id: str | None
    obs_keys: list[str]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    success: str | None = None
    control_rate_hz: float | None = None

    @property
    def spec(self) -> TaskSpec | None:
        """What Kinoise knows of the task; None where it is not one of ours."""
        from kinoise.envs import task_spec

        return None if self.env_id is None else task_spec(self.env_id)


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
        return read_task(node)
    if checkpoint is None:
        raise UsageError("no task; choose one with task=NAME")

    from kinoise.policy.checkpoints import read_config

    task = read_task(read_config(checkpoint).get("task"))
    if task.env_id is not None and task.spec is None and not getattr(settings, "trust", False):
        raise UsageError(
            f"the checkpoint's task runs in {task.env_id!r:.80}, which is none of Kinoise's own "
            "environments and may run foreign code; give task=NAME, or trust=true if you know "
            "where the checkpoint comes from"
        )
    return task


def read_task(node: Any) -> TaskSettings:
    """Return what a task's node says; a node of version 0.1 is read as data, its code ignored.

    Args:
        node: plain dicts, lists and scalars. Nothing in it is resolved, imported or called.

    Raises:
        UsageError: the node is not of that form.
    """
    if not isinstance(node, Mapping):
        raise UsageError("no task is named here; choose one with task=NAME")
    unknown = [str(key) for key in node if key not in (*KEYS, *OLD_KEYS)]
    if unknown:
        hint = suggest(unknown[0], KEYS) or f"; it has: {', '.join(KEYS)}"
        raise UsageError(f"a task has no setting '{unknown[0]:.60}'{hint}")

    entries = {key: node[key] for key in KEYS if node.get(key) is not None}
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
    from kinoise.envs import make_env

    if task.env_id is None:
        raise UsageError(f"task '{task.name}' has no environment to run in; choose another task")
    rule = {} if task.success is None else {"success": task.success}
    return partial(make_env, task.env_id, **rule, **task.env_kwargs)


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
        raise UsageError(f"task '{task.name}' has no rate; give +task.control_rate_hz=HZ")
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
    "success": ("'info' or 'terminated'", lambda value: value in ("info", "terminated")),
    "control_rate_hz": ("a positive number", _is_rate),
}

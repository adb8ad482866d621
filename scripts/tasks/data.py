"""What a data set says of the task that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command.catalogue import config_folder
from ..command.errors import UsageError
from .settings import TaskSettings

if TYPE_CHECKING:
    from kinoise.datasets.storage import ReplayBuffer

ACTION = "action"
BOOKKEEPING = {
    *("reward", "rewards", "return", "success", "is_success", "timestamp", "timestamps"),
    *("done", "dones", "terminal", "terminals", "terminated", "truncated", "timeout", "timeouts"),
    *("index", "episode_index", "frame_index", "task_index"),
}
"""Names of what is recorded beside observations; no policy can see it."""


def completed(task: TaskSettings, path: Path) -> TaskSettings:
    """Return the task with what it leaves open read off a data set, and the shapes it has there.

    Where the data set was recorded in one of our own environments, and the task names none, that is
    its environment, and the task sees what the YAML of that environment's task says. Any other task
    without observations sees all that are no pictures.

    Args:
        task: what is known of it.
        path: of the data set; where none stands, the task is returned as it is.

    Raises:
        UsageError: the data set holds nothing that a policy could see.
        DatasetError: it cannot be read.
    """
    from kinoise.datasets.storage import ReplayBuffer

    if not path.exists():
        return task
    buffer = ReplayBuffer.open(path)
    if not task.obs_keys:
        task = _with_own_environment(task, buffer)
    if not task.obs_keys:
        task = replace(task, obs_keys=observations(buffer))
    shapes = {key: tuple(buffer[key].shape[1:]) for key in task.obs_keys if key in buffer}
    rate = task.control_rate_hz or buffer.attrs.get("control_rate_hz")
    return replace(
        task,
        control_rate_hz=None if task.spec is not None else rate,
        observes=shapes if len(shapes) == len(task.obs_keys) else None,
        action_dim=int(buffer[ACTION].shape[1]) if ACTION in buffer else None,
    )


def observations(buffer: ReplayBuffer) -> list[str]:
    """Return the keys that a policy may see: all but the action, pictures and bookkeeping.

    Raises:
        UsageError: there is none.
    """
    from kinoise.datasets.keys import is_image

    keys = [
        key
        for key in buffer.keys
        if key != ACTION
        and not is_image(buffer[key].shape)
        and key.replace("/", ".").rpartition(".")[2] not in BOOKKEEPING
    ]
    if not keys:
        raise UsageError(
            f"{buffer.path} holds {', '.join(buffer.keys) or 'nothing'}: no observation that is no "
            "picture; say which a policy sees: task.obs_keys=[KEY,...]"
        )
    return keys


def summary(task: TaskSettings) -> str:
    """Return what was read off a data set, as one line."""
    shapes = task.observes or {}
    seen = ", ".join(f"{key} {list(shapes[key])}" for key in shapes)
    rate = f"; {task.control_rate_hz:g} Hz" if task.control_rate_hz else ""
    where = f"; in {task.env_id}" if task.env_id else "; no environment (env=gym:NAME gives one)"
    return f"task {task.name}: observes {seen}; {task.action_dim} actions{rate}{where}"


def _with_own_environment(task: TaskSettings, buffer: ReplayBuffer) -> TaskSettings:
    from kinoise.envs import task_spec

    env_id: Any = buffer.attrs.get("env_id")
    if task.env_id is not None or not isinstance(env_id, str) or task_spec(env_id) is None:
        return task
    env_kwargs = buffer.attrs.get("env_kwargs") or {}
    seen = _seen_by_own_task(env_id, env_kwargs, buffer)
    return replace(task, env_id=env_id, env_kwargs=env_kwargs, obs_keys=seen)


def _seen_by_own_task(
    env_id: str, env_kwargs: Mapping[str, Any], buffer: ReplayBuffer
) -> list[str]:
    """Return the observations of the packaged task of an environment; none where there is none."""
    import yaml

    known = set(observations(buffer))
    for path in sorted((config_folder() / "task").glob("*.yaml")):
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        same = node["env_id"] == env_id and (node.get("env_kwargs") or {}) == env_kwargs
        if same and set(node["obs_keys"]) <= known:
            return list(node["obs_keys"])
    return []

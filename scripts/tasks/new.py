"""Write the YAML of a task to start from: read off a data set, an environment, or both.

A task of one's own is a convenience, for short commands; `kinoise train data.path=...` and
`kinoise eval RUN env=...` need none.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..command.errors import UsageError
from ..command.files import write_atomically
from ..command.places import check_file
from .data import completed, summary
from .environment import EnvChoices, with_choices
from .nodes import KEYS, control_rate, make_env
from .settings import TaskSettings


@dataclass(frozen=True)
class Settings(EnvChoices):
    """See `configs/task.yaml`."""

    action: Literal["new"]
    name: str
    data: Path | None
    out: Path
    overwrite: bool


def run(settings: Settings) -> None:
    """Write the task and say how to use it."""
    path = write_task(settings)
    folder = settings.out
    print(f"wrote {path}; train with")
    data = settings.data or Path("data") / f"{settings.name}.zarr"
    words = f"--config-dir {folder} task={settings.name} data.path={data}"
    print(f"  kinoise train {words}")


def write_task(settings: Settings) -> Path:
    """Write the task and return its file.

    Raises:
        UsageError: neither a data set nor an environment is named, or the task exists.
        EnvError, DatasetError: one of them cannot be read.
    """
    if settings.data is None and settings.env is None:
        raise UsageError("say what to read the task off: env=gym:NAME, data=PATH, or both")
    if re.fullmatch(r"[A-Za-z_]\w*", settings.name) is None:
        raise UsageError(f"a task is named by letters, digits and _, not {settings.name!r:.60}")
    path = settings.out / "task" / f"{settings.name}.yaml"
    check_file("out", path)
    if path.exists() and not settings.overwrite:
        raise UsageError(f"{path} exists; replace it with overwrite=true or give another name")

    task = with_choices(TaskSettings(settings.name, env_id=None, obs_keys=[]), settings)
    if settings.data is not None:
        if not settings.data.exists():
            raise UsageError(f"no data set at '{settings.data}'")
        task = completed(task, settings.data)
        print(summary(task))
    if task.env_id is not None:
        task = _looked_at(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, to_yaml(task))
    return path


def to_yaml(task: TaskSettings) -> str:
    """Return a task as a file of the group `task`; what is as by default is left out."""
    import yaml

    plain = TaskSettings(task.name, env_id=None, obs_keys=[])
    node: dict[str, Any] = {"name": task.name, "env_id": task.env_id}
    for key in KEYS:
        value = getattr(task, key)
        if value != getattr(plain, key):
            node[key] = dict(value) if key in ("env_kwargs", "rename") else value
    text = yaml.safe_dump(node, sort_keys=False, default_flow_style=None, allow_unicode=True)
    where = f"in {task.env_id}" if task.env_id else "without an environment"
    return f"# @package task\n# {task.name}, {where}\n{text}"


def _looked_at(task: TaskSettings) -> TaskSettings:
    """Return the task with what its environment says: the observations and the rate."""
    with closing(make_env(task)()) as env:
        for note in getattr(env, "notes", ()):
            print(note)
        if not task.obs_keys:
            spaces = env.observation_space.spaces
            keys = [key for key, space in spaces.items() if len(space.shape) < 3]
            task = replace(task, obs_keys=keys)
    if task.spec is None and task.control_rate_hz is None:
        try:
            task = replace(task, control_rate_hz=control_rate(task))
        except UsageError as error:
            print(error)
    return task

"""What is diagnosed: a policy, its data, its environment, and what was measured of them so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import assembly, tasks
from ..command.errors import UsageError
from .budget import Budget
from .demonstrations import Demonstrations, read

if TYPE_CHECKING:
    from kinoise.datasets.loader import Loaders
    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.policy.diffusion_policy import DiffusionPolicy

Found = TypeVar("Found")


@dataclass(frozen=True)
class Rolling:
    """How rollouts are run.

    Attributes:
        n_episodes: at most, on fresh seeds.
        first_seed: of the fresh ones.
        n_envs: in each process.
        n_workers: processes; 0 for this one.
    """

    n_episodes: int
    first_seed: int
    n_envs: int
    n_workers: int


@dataclass
class Case:
    """One policy that is looked at.

    Attributes:
        checkpoint: its folder.
        run: the folder of the run that it belongs to.
        config: what the checkpoint keeps of the run's settings.
        policy: the policy itself.
        task: what it is to do.
        data: path of the data set that it was trained on.
        buffer: the data set.
        loaders: its windows, divided into training and held-out ones as in the training.
        demonstrations: the training episodes as matrices.
        make_env: makes the environment; None where there is none.
        rolling: how rollouts are run.
        budget: the time.
        facts: numbers that evidence found for the commands of `causes`.
        notes: what could not be looked at, and why.
    """

    checkpoint: Path
    run: Path
    config: Mapping[str, Any]
    policy: DiffusionPolicy
    task: tasks.TaskSettings
    data: Path
    buffer: ReplayBuffer
    loaders: Loaders
    demonstrations: Demonstrations
    make_env: Callable[..., Any] | None
    rolling: Rolling
    budget: Budget
    facts: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _known: dict[Any, Any] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The observations that the policy sees."""
        return list(self.policy.obs_shapes)

    def once(self, measure: Callable[[Case], Found]) -> Found:
        """Return what a measurement gives for this case, and measure only the first time."""
        if measure not in self._known:
            self._known[measure] = measure(self)
        found: Found = self._known[measure]
        return found


def open_case(
    checkpoint: Path,
    task: tasks.TaskSettings,
    *,
    data: Path | None,
    rolling: Rolling,
    minutes: float,
    make_env: Callable[..., Any] | None = None,
) -> Case:
    """Open a checkpoint with its data.

    Args:
        checkpoint: a checkpoint's folder.
        task: what it is to do.
        data: its data set; None for the path that the checkpoint names.
        rolling: how rollouts are run.
        minutes: to spend.
        make_env: makes the environment; by default the task's, where it has one.

    Raises:
        UsageError: there is no data set, or it does not fit the policy.
        DatasetError: it is damaged.
    """
    from kinoise.policy.checkpoints import read_config

    policy = assembly.check_choices(checkpoint, assembly.Choices())
    config = read_config(checkpoint)
    path = data or Path(str(config.get("data", {}).get("path", "")))
    buffer = _open_data(path, policy)
    loaders = _windows(config, buffer, task)
    if make_env is None and task.env_id is not None:
        make_env = tasks.make_env(task)
    return Case(
        checkpoint=checkpoint,
        run=assembly.run_folder(checkpoint),
        config=config,
        policy=policy,
        task=task,
        data=path,
        buffer=buffer,
        loaders=loaders,
        demonstrations=read(buffer, list(policy.obs_shapes), loaders.train_episodes),
        make_env=make_env,
        rolling=rolling,
        budget=Budget(minutes),
    )


def _open_data(path: Path, policy: DiffusionPolicy) -> ReplayBuffer:
    from kinoise.datasets.storage import ReplayBuffer

    if path == Path() or not path.exists():
        raise UsageError(
            f"diagnose looks at the training data, and there is nothing at '{path}'; give data=PATH"
        )
    buffer = ReplayBuffer.open(path)
    wanted = {**policy.obs_shapes, "action": (policy.action_dim,)}
    for key, shape in wanted.items():
        found = tuple(buffer[key].shape[1:])
        if found != shape:
            raise UsageError(
                f"'{key}' has shape {list(found)} in '{path}' and {list(shape)} in the policy; "
                "give the data set that it was trained on: data=PATH"
            )
    return buffer


def _windows(config: Mapping[str, Any], buffer: ReplayBuffer, task: tasks.TaskSettings) -> Loaders:
    """Return the windows of a run, divided as they were in training."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    settings = OmegaConf.create(assembly.literal(dict(config)))
    try:
        settings.data.batch_size = 1  # fits any number of windows
        return assembly.load_windows(settings, buffer, task)
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"the checkpoint does not say how it was trained: {reason}") from error

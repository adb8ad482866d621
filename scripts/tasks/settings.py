"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinoise.envs import TaskSpec


@dataclass(frozen=True)
class TaskSettings:
    """What a `task` node says.

    Those from `success` on are for an environment of others (see `kinoise.envs.Connection`).

    Attributes:
        name: what reports and folders call the task.
        env_id: of the environment; None where there is none to run in.
        env_kwargs: arguments of the environment.
        obs_keys: the observations that a policy sees; none where the data set is to say.
        success: what counts as success.
        control_rate_hz: actions a second.
        env_setup: functions to call before the environment can be made.
        env_python: the Python of another installation that it runs in.
        env_timeout: seconds that a step may take there.
        max_steps: ends an episode.
        rename: the environment's name of an observation -> the policy's.
        action_bounds: "clip" or "refuse".
        observes: key -> shape that the policy or the data have; no setting.
        action_dim: Da that they have; no setting.
    """

    name: str
    env_id: str | None
    obs_keys: list[str]
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    success: str | None = None
    control_rate_hz: float | None = None
    env_setup: str | None = None
    env_python: str | None = None
    env_timeout: float = 60.0
    max_steps: int | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    action_bounds: str = "clip"
    observes: Mapping[str, tuple[int, ...]] | None = None
    action_dim: int | None = None

    @property
    def spec(self) -> TaskSpec | None:
        """What Kinoise knows of the task; None where it is not one of ours."""
        from kinoise.envs import task_spec

        return None if self.env_id is None else task_spec(self.env_id)

    @property
    def is_foreign(self) -> bool:
        """Whether it runs in an environment of others."""
        return self.env_id is not None and self.spec is None

"""Tasks: what a policy is to do, in which environment, and what it sees of it."""

from .data import completed, summary
from .environment import EnvChoices
from .nodes import control_rate, env_shapes, make_env, read_task, task_of
from .pace import Auto, Pace, probe
from .settings import TaskSettings

__all__ = [
    "Auto",
    "EnvChoices",
    "Pace",
    "TaskSettings",
    "completed",
    "control_rate",
    "env_shapes",
    "make_env",
    "probe",
    "read_task",
    "summary",
    "task_of",
]

"""MuJoCo tasks, scripted experts, and the engine that rolls policies out.

Importing this package registers the tasks with gymnasium and chooses mujoco's OpenGL back end;
it imports neither mujoco nor a task's code, so it costs next to nothing.
"""

from __future__ import annotations

import os
import sys

from .foreign import Connection
from .registry import SUITES, TASKS, make_env, make_expert, task_spec
from .spec import TaskSpec

__all__ = ["SUITES", "TASKS", "Connection", "TaskSpec", "make_env", "make_expert", "task_spec"]


def _choose_gl_backend() -> None:
    """Set MUJOCO_GL before mujoco's first import, which reads it once; a set value is kept.

    `import mujoco` itself raises when MUJOCO_GL names a back end that does not work.
    """
    if sys.platform == "linux" and "mujoco" not in sys.modules and not os.environ.get("MUJOCO_GL"):
        from .rendering.backend import egl_works

        os.environ["MUJOCO_GL"] = "egl" if egl_works() else "disable"


_choose_gl_backend()

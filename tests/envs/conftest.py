"""Import the package before any test imports mujoco: it chooses mujoco's OpenGL back end."""

import kinoise.envs  # noqa: F401

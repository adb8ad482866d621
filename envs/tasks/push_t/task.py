"""PushT: a round pusher brings a T-shaped block onto its goal, after Diffusion Policy's Push-T.

The task is that of Florence et al. 2021 and Chi et al. 2023: geometry, control,
score and observation keys are those of gym-pusht and of the human data set, the physics is
MuJoCo's. Positions are pixels of a 512 x 512 world with y pointing down (1 px is 1 mm in the
model, which has y up), so a policy for one of the two runs on the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...physics import Physics
from ...task_env import Outcome, Task, TaskEnv, box
from . import SPEC, geometry

Array = NDArray[np.float64]

METRES_PER_PIXEL = 1e-3

# The block's centre of mass starts where the T clears the walls in whatever direction it points.
START_MARGIN = 100.0
PUSHER_START = (50.0, 450.0)
START_CLEARANCE = 5.0
"""Least gap between pusher and block at the start, px."""


class PushT(Task):
    """The action `[2]` is the pusher's absolute target in px, tracked by a PD controller.

    Observations: `agent_pos` [2] the pusher, px; `keypoint` [9, 2] points of the block, px
    (`geometry.KEYPOINTS`); `state` [5] pusher x, y, block x, y (px) and angle in [0, 2 pi), where
    the block's position is the middle of the bar's outer edge.

    Success: the block covers more than .95 of the goal. The score is min(1, coverage / .95).
    """

    mjcf = Path(__file__).with_name("push_t.xml")
    control_rate_hz = SPEC.control_rate_hz
    max_steps = 300
    camera = "top"
    action_space = box([0.0, 0.0], [geometry.WORLD_SIZE] * 2)
    observation_spaces = {  # noqa: RUF012  (declared ClassVar by Task)
        "agent_pos": box([0.0] * 2, [geometry.WORLD_SIZE] * 2),
        "keypoint": box(np.zeros((9, 2)), np.full((9, 2), geometry.WORLD_SIZE)),
        "state": box([0.0] * 5, [geometry.WORLD_SIZE] * 4 + [2 * np.pi]),
    }

    def initialise(self, physics: Physics, rng: np.random.Generator) -> None:
        span = START_MARGIN, geometry.WORLD_SIZE - START_MARGIN
        angle = rng.uniform(0.0, 2 * np.pi)
        pose = _pose_of(rng.uniform(*span, size=2), angle)
        while True:
            pusher = rng.uniform(*PUSHER_START, size=2)
            if geometry.distance(pusher, pose) > geometry.PUSHER_RADIUS + START_CLEARANCE:
                break
        set_state(physics, np.concatenate([pusher, pose]))

    def apply_action(self, physics: Physics, action: Array) -> None:
        x, y = _to_metres(action)
        physics.set_control("pusher_x", x)
        physics.set_control("pusher_y", y)

    def observe(self, physics: Physics) -> dict[str, Array]:
        state = get_state(physics)
        return {
            "agent_pos": state[:2],
            "keypoint": geometry.keypoints(state[2:]),
            "state": state,
        }

    def evaluate(self, physics: Physics) -> Outcome:
        coverage = float(geometry.coverage(get_state(physics)[2:]))
        return Outcome(
            success=coverage > geometry.SUCCESS_COVERAGE, score=float(geometry.score(coverage))
        )


def get_state(physics: Physics) -> Array:
    """Return pusher x, y, block x, y (px) and angle in [0, 2 pi), float64 `[5]`."""
    pusher_x, pusher_y, block_x, block_y, block_angle = physics.data.qpos
    # The y axes of the model and of the pixels point in opposite directions, so angles do too.
    pose = _pose_of(_to_pixels([block_x, block_y]), -block_angle % (2 * np.pi))
    return np.concatenate([_to_pixels([pusher_x, pusher_y]), pose])


def set_state(physics: Physics, state: Array) -> None:
    """Put pusher and block at rest into a state `[5]`; call `forward` afterwards."""
    centre = geometry.to_world(np.array([geometry.CENTRE_OF_MASS]), state[2:])[0]
    physics.data.qpos[:] = [*_to_metres(state[:2]), *_to_metres(centre), -state[4]]
    physics.data.qvel[:] = 0.0
    physics.data.ctrl[:] = physics.data.qpos[:2]


def _pose_of(centre: Array, angle: float) -> Array:
    """Return the pose `[3]` whose centre of mass is at `centre` `[2]`, px."""
    offset = geometry.to_world(np.array([geometry.CENTRE_OF_MASS]), [0.0, 0.0, angle])[0]
    return np.array([*(centre - offset), angle])


def _to_pixels(position: Any) -> Array:
    x, y = position
    return np.array([x / METRES_PER_PIXEL, geometry.WORLD_SIZE - y / METRES_PER_PIXEL])


def _to_metres(pixels: Array) -> Array:
    x, y = pixels
    return np.array([x, geometry.WORLD_SIZE - y]) * METRES_PER_PIXEL


def make_env(**kwargs: Any) -> TaskEnv:
    """Return the environment; arguments as TaskEnv's, pictures square by default."""
    return TaskEnv(PushT(), **{"frame_size": (320, 320), **kwargs})

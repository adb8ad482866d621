"""PickPlace: a 7-DoF arm brings a cube from a random pose to a random goal on the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...inverse_kinematics import InverseKinematics
from ...physics import Physics, yaw_of, yaw_quaternion
from ...task_env import Outcome, Task, TaskEnv, box
from . import SPEC

Array = NDArray[np.float64]

ARM = tuple(f"joint{index}" for index in range(1, 8))
FINGERS = ("left_finger", "right_finger")
CUBE_SIZE = 0.044
"""Edge of the cube, metres."""
MAX_OPENING = 0.08
"""Distance between the open fingers' pads, metres."""

GOAL_TOLERANCE = 0.03
HEIGHT_TOLERANCE = 0.004
LIFT_HEIGHT = 0.03
"""Above its rest at which the cube counts as lifted, metres: tipped over an edge it rises .009."""
REST_SPEED = 0.02
MAX_JOINT_STEP = 0.3
"""Farthest any joint's target moves in one control step, rad (3 rad/s)."""

START_BOX = np.array([[0.38, -0.15, 0.18], [0.58, 0.15, 0.30]])
START_YAW = 0.3
CUBE_BOX = np.array([[0.38, -0.22], [0.62, 0.22]])
MIN_DISTANCE = 0.12
"""Between the cube's start and its goal, metres."""


class PickPlace(Task):
    """Actions are absolute: [x, y, z (m), yaw (rad), opening (m)] of the gripper.

    The gripper always points down; yaw turns it about the vertical, and damped least squares turn
    the pose into joint targets. Observations:

    ee_pos [3]     tool centre, m
    ee_rot [2]     cos and sin of the gripper's yaw
    gripper [1]    distance between the pads, m
    cube_pos [3]   centre of the cube, m
    cube_rot [2]   cos and sin of four times the cube's yaw: continuous under its symmetry
    goal_pos [2]   centre of the goal on the table, m

    Success: the cube lies still within 3 cm of the goal's centre, no finger touches it, and it has
    been lifted there: earlier in the episode it hung 3 cm above its rest between both fingers. A
    cube that was pushed to the goal is none. The score adds up reaching (.2), grasping (.3) and
    nearness of cube and goal (.4); 1 at success.
    """

    mjcf = Path(__file__).with_name("pick_place.xml")
    control_rate_hz = SPEC.control_rate_hz
    max_steps = 100
    camera = "front"
    action_space = box([0.25, -0.35, 0.015, -1.2, 0.0], [0.75, 0.35, 0.40, 1.2, MAX_OPENING])
    observation_spaces = {  # noqa: RUF012  (declared ClassVar by Task)
        "ee_pos": box([-1, -1, -0.1], [1, 1, 1.2]),
        "ee_rot": box([-1, -1], [1, 1]),
        "gripper": box([-0.01], [0.09]),
        "cube_pos": box([-5, -5, -1], [5, 5, 2]),
        "cube_rot": box([-1, -1], [1, 1]),
        "goal_pos": box([0, -1], [1, 1]),
    }

    def prepare(self, physics: Physics) -> None:
        model = physics.model
        self._arm_qpos = np.array([model.joint(name).qposadr[0] for name in ARM])
        self._arm_ctrl = np.array([model.actuator(name).id for name in ARM])
        self._finger_ctrl = np.array([model.actuator(name).id for name in FINGERS])
        home = np.array(model.key("home").qpos)[self._arm_qpos]
        self._kinematics = InverseKinematics(model, "tool", ARM, home)

    def initialise(self, physics: Physics, rng: np.random.Generator) -> None:
        physics.reset("home")
        yaw = rng.uniform(-START_YAW, START_YAW)
        home = physics.data.qpos[self._arm_qpos]
        joints = self._kinematics.solve(
            rng.uniform(START_BOX[0], START_BOX[1]), _pointing_down(yaw), home, n_iterations=50
        )
        physics.data.qpos[self._arm_qpos] = joints
        physics.data.ctrl[self._arm_ctrl] = joints
        cube, goal = _draw_cube_and_goal(rng)
        cube_yaw = rng.uniform(-np.pi, np.pi)
        physics.set_joint_position("cube", [*cube, CUBE_SIZE / 2, *yaw_quaternion(cube_yaw)])
        physics.set_mocap_pose("goal", [*goal, 0.0])

    def apply_action(self, physics: Physics, action: Array) -> None:
        present = physics.data.ctrl[self._arm_ctrl]
        target = self._kinematics.solve(action[:3], _pointing_down(action[3]), present)
        step = target - present
        # Scaled as a whole, so that the tool keeps its direction.
        step *= min(1.0, MAX_JOINT_STEP / (np.abs(step).max() + 1e-12))
        physics.data.ctrl[self._arm_ctrl] = present + step
        physics.data.ctrl[self._finger_ctrl] = action[4] / 2

    def after_step(self, physics: Physics) -> None:
        height = physics.body_position("cube")[2] - CUBE_SIZE / 2
        if height > LIFT_HEIGHT and all(_touching(physics)):
            # In the simulation's own memory, so that it is saved and reset with the rest.
            physics.data.userdata[0] = 1.0

    def observe(self, physics: Physics) -> dict[str, Array]:
        yaw = yaw_of(physics.site_rotation("tool"))
        cube_yaw = 4 * yaw_of(physics.body_rotation("cube"))
        return {
            "ee_pos": physics.site_position("tool"),
            "ee_rot": np.array([np.cos(yaw), np.sin(yaw)]),
            "gripper": np.add(*(physics.joint_position(name) for name in FINGERS)),
            "cube_pos": physics.body_position("cube"),
            "cube_rot": np.array([np.cos(cube_yaw), np.sin(cube_yaw)]),
            "goal_pos": physics.body_position("goal")[:2],
        }

    def evaluate(self, physics: Physics) -> Outcome:
        cube = physics.body_position("cube")
        goal = physics.body_position("goal")
        offset = cube - goal - [0, 0, CUBE_SIZE / 2]
        touching = _touching(physics)

        at_goal = np.hypot(*offset[:2]) < GOAL_TOLERANCE and abs(offset[2]) < HEIGHT_TOLERANCE
        at_rest = np.linalg.norm(physics.joint_velocity("cube")[:3]) < REST_SPEED
        lifted = bool(physics.data.userdata[0])
        if at_goal and at_rest and lifted and not any(touching):
            return Outcome(success=True, score=1.0)

        reach = 1 - np.tanh(5 * np.linalg.norm(physics.site_position("tool") - cube))
        place = 1 - np.tanh(5 * np.linalg.norm(offset))
        return Outcome(success=False, score=float(0.2 * reach + 0.3 * all(touching) + 0.4 * place))


def _touching(physics: Physics) -> list[bool]:
    """Return which of the two pads touch the cube."""
    return [physics.touching("cube", pad) for pad in ("left_pad", "right_pad")]


def _draw_cube_and_goal(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw two points [2] at least MIN_DISTANCE apart."""
    while True:
        cube, goal = rng.uniform(CUBE_BOX[0], CUBE_BOX[1], size=(2, 2))
        if np.linalg.norm(cube - goal) >= MIN_DISTANCE:
            return cube, goal


def _pointing_down(yaw: float) -> Array:
    """Return the tool's rotation [3, 3]: z down, and x turned by yaw about the vertical."""
    cos = np.cos(yaw)
    sin = np.sin(yaw)
    return np.array([[cos, sin, 0.0], [sin, -cos, 0.0], [0.0, 0.0, -1.0]])


def make_env(**kwargs: Any) -> TaskEnv:
    """Return the environment; arguments as TaskEnv's."""
    return TaskEnv(PickPlace(), **kwargs)

"""A scripted expert for PickPlace: a function of the present observation, no memory.

The phase follows from what is seen (is the cube between closed fingers? is it at the goal?), and
every command lies at most one short step from the present pose, so that actions are continuous
and a learner can clone them. Heights follow a funnel: far from the target in the plane the
gripper stays high, and it comes down as the distance shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .task import CUBE_SIZE, MAX_OPENING

Array = NDArray[np.float64]

REST_HEIGHT = CUBE_SIZE / 2
"""Of the cube's centre when it lies on the table."""
QUARTER_TURN = np.pi / 2
MAX_GRASP_YAW = 1.0
"""The gripper takes the other pair of the cube's sides rather than turn further, rad."""


@dataclass(frozen=True)
class PickPlaceExpert:
    """Actor for PickPlace. Lengths in metres and angles in rad, steps per control step.

    Attributes:
        max_step: of the gripper.
        max_turn: of the gripper.
        max_gripper_step: of the opening.
        hover: height above the target at which the gripper travels.
        slope: of the funnel; height gained per distance from the target.
        grasp_radius: how near the gripper must be to close.
        goal_radius: how near the goal the cube must be to be released.
        held_opening: below it the gripper holds the cube.
        released_opening: above it the gripper rises.
    """

    max_step: float = 0.022
    max_turn: float = 0.15
    max_gripper_step: float = 0.012
    hover: float = 0.08
    slope: float = 1.5
    grasp_radius: float = 0.010
    goal_radius: float = 0.015
    held_opening: float = CUBE_SIZE + 0.003
    released_opening: float = 0.065

    def __call__(
        self,
        observations: Sequence[dict[str, NDArray[Any]]],
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> NDArray[np.float32]:
        """Return actions `[n, 5]`; the observations alone decide."""
        rows = [
            self._act(*(np.asarray(obs[key], np.float64) for key in _KEYS)) for obs in observations
        ]
        return np.array(rows, dtype=np.float32)

    def _act(
        self, tool: Array, rot: Array, gripper: Array, cube: Array, cube_rot: Array, goal: Array
    ) -> Array:
        yaw = float(np.arctan2(rot[1], rot[0]))
        opening = float(gripper[0])
        lies_at_goal = (
            np.linalg.norm(cube[:2] - goal) < self.goal_radius and cube[2] < REST_HEIGHT + 0.006
        )
        if lies_at_goal:
            return self._release(tool, yaw, opening, cube)
        if opening < self.held_opening and np.linalg.norm(cube - tool) < 0.02:
            return self._carry(tool, yaw, opening, cube, goal)
        grasp_yaw = _nearest_grasp_yaw(np.arctan2(cube_rot[1], cube_rot[0]) / 4, yaw)
        return self._approach(tool, yaw, opening, cube, grasp_yaw)

    def _approach(
        self, tool: Array, yaw: float, opening: float, cube: Array, grasp_yaw: float
    ) -> Array:
        turn = abs(grasp_yaw - yaw)
        distance = float(np.linalg.norm(cube[:2] - tool[:2]))
        # Closing fingers nudge the cube: once they move, the zone to go on closing is wider.
        radius = self.grasp_radius + 0.2 * max(0.0, 0.075 - opening)
        in_reach = distance < radius and abs(tool[2] - cube[2]) < radius and turn < 0.15
        target = np.array([*cube[:2], cube[2] + self._funnel(distance + 0.03 * turn)])
        change = -self.max_gripper_step if in_reach else self.max_gripper_step
        return self._command(tool, yaw, target, grasp_yaw, opening + change)

    def _carry(self, tool: Array, yaw: float, opening: float, cube: Array, goal: Array) -> Array:
        height = REST_HEIGHT + self._funnel(float(np.linalg.norm(goal - cube[:2])))
        # The cube may sit off the tool's centre: it is the cube that goes to the goal.
        target = np.array([*goal, height]) + tool - cube
        return self._command(tool, yaw, target, 0.0, opening - self.max_gripper_step)

    def _release(self, tool: Array, yaw: float, opening: float, cube: Array) -> Array:
        height = cube[2] if opening < self.released_opening else cube[2] + 2 * self.hover
        target = np.array([*cube[:2], height])
        return self._command(tool, yaw, target, yaw, opening + self.max_gripper_step)

    def _funnel(self, distance: float) -> float:
        """Return the height above the target at a distance from it in the plane."""
        return float(np.clip(self.slope * (distance - 0.004), 0.0, self.hover))

    def _command(
        self, tool: Array, yaw: float, target: Array, target_yaw: float, opening: float
    ) -> Array:
        """Return the action that goes one limited step towards the target pose."""
        step = target - tool
        # Too low for this distance from the target: rise before moving sideways.
        step[:2] *= np.clip(1.0 - (step[2] - 0.01) / 0.05, 0.05, 1.0)
        step *= min(1.0, self.max_step / (float(np.linalg.norm(step)) + 1e-9))
        turn = np.clip(target_yaw - yaw, -self.max_turn, self.max_turn)
        return np.array([*(tool + step), yaw + turn, np.clip(opening, 0.0, MAX_OPENING)])


_KEYS = ("ee_pos", "ee_rot", "gripper", "cube_pos", "cube_rot", "goal_pos")


def _nearest_grasp_yaw(cube_yaw: float, yaw: float) -> float:
    """Return the gripper yaw along the sides of the cube that is nearest to the present one."""
    grasp = cube_yaw + np.round((yaw - cube_yaw) / QUARTER_TURN) * QUARTER_TURN
    if abs(grasp) > MAX_GRASP_YAW:
        grasp -= np.sign(grasp) * QUARTER_TURN
    return float(grasp)

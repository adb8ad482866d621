from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinoise.envs import make_env, make_expert
from kinoise.envs.inverse_kinematics import InverseKinematics
from kinoise.envs.rollouts import ActionPushes, Recording, rollout
from kinoise.envs.task_env import TaskEnv
from kinoise.envs.tasks.pick_place import SPEC, task
from kinoise.envs.tasks.pick_place.task import (
    ARM,
    CUBE_SIZE,
    GOAL_TOLERANCE,
    LIFT_HEIGHT,
    MAX_JOINT_STEP,
    MIN_DISTANCE,
    PickPlace,
)

pick_place = partial(make_env, "kinoise/PickPlace-v0")
expert = partial(make_expert, "kinoise/PickPlace-v0")


@pytest.fixture(scope="module")
def env() -> TaskEnv:
    return TaskEnv(PickPlace())


def place_cube(env: TaskEnv, position: list[float]) -> None:
    env.physics.set_joint_position("cube", [*position, 1, 0, 0, 0])
    env.physics.forward()


def test_the_gripper_goes_where_the_action_says(env: TaskEnv) -> None:
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    place_cube(env, [0.3, 0.3, CUBE_SIZE / 2])
    for _ in range(5):
        target = rng.uniform([0.35, -0.2, 0.06, -0.9, 0.0], [0.6, 0.2, 0.3, 0.9, 0.08])
        for _ in range(25):
            obs, *_ = env.step(target)
        np.testing.assert_allclose(obs["ee_pos"], target[:3], atol=2e-3)
        assert np.arctan2(obs["ee_rot"][1], obs["ee_rot"][0]) == pytest.approx(target[3], abs=0.02)
        assert obs["gripper"][0] == pytest.approx(target[4], abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(0.35, 0.65), y=st.floats(-0.25, 0.25), z=st.floats(0.02, 0.3),
    yaw=st.floats(-1.0, 1.0),
)  # fmt: skip
def test_inverse_kinematics_reaches_the_workspace(x: float, y: float, z: float, yaw: float) -> None:
    env = TaskEnv(PickPlace())
    model, data = env.physics.model, env.physics.data
    home = np.array(model.key("home").qpos)[:7]
    kinematics = InverseKinematics(model, "tool", ARM, home)
    cos, sin = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cos, sin, 0], [sin, -cos, 0], [0, 0, -1.0]])
    data.qpos[:7] = kinematics.solve(np.array([x, y, z]), rotation, home, n_iterations=50)
    env.physics.forward()
    np.testing.assert_allclose(env.physics.site_position("tool"), [x, y, z], atol=1e-3)
    np.testing.assert_allclose(env.physics.site_rotation("tool"), rotation, atol=2e-3)
    low, high = model.jnt_range[:7].T
    assert (low <= data.qpos[:7]).all()
    assert (data.qpos[:7] <= high).all()


def test_inverse_kinematics_keeps_joints_within_their_range(env: TaskEnv) -> None:
    """Far beyond the reach of the arm, where the joints would turn on for ever."""
    model = env.physics.model
    home = np.array(model.key("home").qpos)[:7]
    kinematics = InverseKinematics(model, "tool", ARM, home)
    low, high = model.jnt_range[:7].T
    rotation = np.diag([1.0, -1.0, -1.0])
    for far in ([-2.0, 0.5, 0.0], [0.0, 3.0, 1.0], [0.1, 0.0, -2.0]):
        joints = kinematics.solve(np.array(far), rotation, home, n_iterations=60)
        assert (low - 1e-12 <= joints).all()
        assert (joints <= high + 1e-12).all()


def test_no_joint_is_sent_further_in_a_step_than_it_may_turn(env: TaskEnv) -> None:
    env.reset(seed=0)
    corners = ([0.75, -0.35, 0.3, 1.2, 0.0], [0.25, 0.35, 0.1, -1.2, 0.0])
    for target in corners:
        before = env.physics.data.ctrl[:7].copy()
        env.step(np.array(target))
        step = np.abs(env.physics.data.ctrl[:7] - before)
        assert step.max() == pytest.approx(MAX_JOINT_STEP)


def test_cube_and_goal_start_apart_and_the_cube_at_rest(env: TaskEnv) -> None:
    for seed in range(50):
        obs, info = env.reset(seed=seed)
        assert np.linalg.norm(obs["cube_pos"][:2] - obs["goal_pos"]) >= MIN_DISTANCE - 1e-6
        assert not info["success"]
        after, *_ = env.step(np.array([*obs["ee_pos"], 0.0, 0.08]))
        np.testing.assert_allclose(after["cube_pos"], obs["cube_pos"], atol=1e-3)


def test_the_cubes_rotation_is_seen_up_to_its_symmetry(env: TaskEnv) -> None:
    env.reset(seed=0)
    seen = []
    for turns in range(4):
        angle = 0.3 + turns * np.pi / 2
        quaternion = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
        env.physics.set_joint_position("cube", [0.5, 0, CUBE_SIZE / 2, *quaternion])
        env.physics.forward()
        seen.append(env.task.observe(env.physics)["cube_rot"])
    np.testing.assert_allclose(seen, [seen[0]] * 4, atol=1e-9)


def test_success_needs_the_cube_lifted_at_the_goal_at_rest_and_released(env: TaskEnv) -> None:
    obs, _ = env.reset(seed=2)
    goal = obs["goal_pos"].tolist()
    rest = [*goal, CUBE_SIZE / 2]
    place_cube(env, rest)
    assert not env.task.evaluate(env.physics).success
    env.physics.data.userdata[0] = 1.0
    assert env.task.evaluate(env.physics).success
    place_cube(env, [goal[0] + GOAL_TOLERANCE + 0.002, *rest[1:]])
    assert not env.task.evaluate(env.physics).success
    place_cube(env, [*goal, CUBE_SIZE])
    assert not env.task.evaluate(env.physics).success
    place_cube(env, rest)
    env.physics.data.joint("cube").qvel[0] = 0.1
    assert not env.task.evaluate(env.physics).success


@pytest.mark.parametrize("touching", [[True, False], [False, True], [True, True]])
def test_a_cube_that_is_touched_is_not_placed(
    env: TaskEnv, monkeypatch: pytest.MonkeyPatch, touching: list[bool]
) -> None:
    obs, _ = env.reset(seed=2)
    place_cube(env, [*obs["goal_pos"].tolist(), CUBE_SIZE / 2])
    env.physics.data.userdata[0] = 1.0
    assert env.task.evaluate(env.physics).success
    monkeypatch.setattr(task, "_touching", lambda physics: touching)
    assert not env.task.evaluate(env.physics).success


@pytest.mark.parametrize("touching", [[False, False], [True, False], [True, True]])
def test_a_cube_that_flies_is_not_lifted(
    env: TaskEnv, monkeypatch: pytest.MonkeyPatch, touching: list[bool]
) -> None:
    env.reset(seed=2)
    place_cube(env, [0.3, 0.3, CUBE_SIZE / 2 + 2 * LIFT_HEIGHT])
    monkeypatch.setattr(task, "_touching", lambda physics: touching)
    env.task.after_step(env.physics)
    assert env.physics.data.userdata[0] == all(touching)


def test_the_cube_held_at_the_goal_is_no_success() -> None:
    [result] = rollout(pick_place, expert, [0], record=Recording(trajectories=True))
    assert result.obs is not None
    gripper = result.obs["gripper"][:, 0]
    at_goal = (
        np.linalg.norm(result.obs["cube_pos"][:, :2] - result.obs["goal_pos"], axis=1)
        < GOAL_TOLERANCE
    )
    held = gripper < CUBE_SIZE + 0.002
    # Had a held cube counted, the episode would have ended at the first of these.
    assert (at_goal & held).sum() > 1


def test_the_score_rises_with_progress() -> None:
    env = pick_place()
    obs, info = env.reset(seed=1)
    actor, scores = expert(), [info["score"]]
    ended = False
    while not ended:
        obs, _, terminated, truncated, info = env.step(actor([obs], [1], [0])[0])
        scores.append(info["score"])
        ended = terminated or truncated
    assert scores[-1] == 1.0
    assert max(scores[:-1]) < 0.95
    quarters = [np.mean(part) for part in np.array_split(scores, 4)]
    assert quarters == sorted(quarters)


def test_the_expert_moves_in_small_steps() -> None:
    results = rollout(pick_place, expert, range(5), record=Recording(trajectories=True))
    for result in results:
        assert result.obs is not None
        assert result.action is not None
        reach = np.linalg.norm(result.action[:, :3] - result.obs["ee_pos"], axis=1)
        assert reach.max() <= 0.022 + 1e-5
        assert np.abs(np.diff(result.action[:, 4])).max() < 0.03


def test_the_expert_recovers_from_pushes() -> None:
    assert SPEC.push_scale is not None
    pushes = ActionPushes([2 * scale for scale in SPEC.push_scale], rate=0.1)
    results = rollout(pick_place, expert, range(20), perturb=pushes)
    assert all(result.success for result in results)


def push_with_the_closed_gripper(
    observations: Sequence[dict[str, NDArray[Any]]], seeds: Sequence[int], steps: Sequence[int]
) -> NDArray[Any]:
    """Bring the cube to the goal without picking it up, then rise."""
    return np.array([pushing_action(obs) for obs in observations])


def pushing_action(obs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    tool, cube, goal = (obs[key].astype(float) for key in ("ee_pos", "cube_pos", "goal_pos"))
    left = goal - cube[:2]
    direction = left / (np.linalg.norm(left) + 1e-9)
    behind = cube[:2] - 0.055 * direction
    offset = tool[:2] - cube[:2]
    along = float(offset @ direction)
    aside = offset - along * direction
    if np.linalg.norm(left) < 0.012:  # there: back off, then rise
        is_clear = np.linalg.norm(offset) > 0.07
        target = [*tool[:2], 0.15] if is_clear else [*(tool[:2] - 0.02 * direction), tool[2]]
    elif along < -0.03 and np.linalg.norm(aside) < 0.012:  # behind the cube: go down, push
        is_low = tool[2] < 0.03
        ahead = tool[:2] + min(0.02, float(np.linalg.norm(left))) * direction - 0.3 * aside
        target = [*(ahead if is_low else behind), 0.02]
    elif tool[2] < 0.09:
        target = [*tool[:2], 0.11]
    else:
        target = [*behind, 0.11]
    step = np.array(target) - tool
    step *= min(1.0, 0.03 / (float(np.linalg.norm(step)) + 1e-9))
    return np.array([*(tool + step), 0.0, 0.0])


def test_pushing_the_cube_to_the_goal_is_no_success() -> None:
    record = Recording(trajectories=True)
    results = rollout(
        pick_place, lambda: push_with_the_closed_gripper, range(20), max_steps=70, record=record
    )
    assert not any(result.success for result in results)
    # It does bring the cube there: but for the lift, these would be solved.
    left = [r.obs["cube_pos"][-1, :2] - r.obs["goal_pos"][-1] for r in results if r.obs is not None]
    assert sum(np.linalg.norm(left, axis=1) < GOAL_TOLERANCE) >= 18


def test_a_lift_is_remembered_until_the_next_episode(env: TaskEnv) -> None:
    obs, info = env.reset(seed=0)
    actor = expert()
    heights = []
    lifted = []
    while not info["success"]:
        obs, *_, info = env.step(actor([obs], [0], [0])[0])
        heights.append(obs["cube_pos"][2] - CUBE_SIZE / 2)
        lifted.append(bool(env.physics.data.userdata[0]))
    assert len(obs) == 6  # what is remembered is not observed
    assert lifted == [max(heights[: step + 1]) > LIFT_HEIGHT for step in range(len(heights))]
    assert not lifted[0]
    env.reset(seed=1)
    assert not env.physics.data.userdata[0]


def test_a_grasp_holds_for_30_seconds() -> None:
    env = pick_place(max_steps=1000)
    obs, _ = env.reset(seed=0)
    actor = expert()
    while not (obs["cube_pos"][2] > 0.06 and obs["gripper"][0] < CUBE_SIZE + 0.003):
        obs, *_ = env.step(actor([obs], [0], [0])[0])
    still = np.array([*obs["ee_pos"], np.arctan2(obs["ee_rot"][1], obs["ee_rot"][0]), 0.0])
    for _ in range(10):
        obs, *_ = env.step(still)
    held = obs["cube_pos"] - obs["ee_pos"]
    for _ in range(300):
        obs, *_ = env.step(still)
    np.testing.assert_allclose(obs["cube_pos"] - obs["ee_pos"], held, atol=1e-4)


def test_the_hand_does_not_sink_into_the_table(env: TaskEnv) -> None:
    env.reset(seed=0)
    model = env.physics.model
    data = env.physics.data
    place_cube(env, [0.5, 0.4, CUBE_SIZE / 2])
    home = np.array(data.qpos[:7])
    lying = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # pointing forwards
    kinematics = InverseKinematics(model, "tool", ARM, home)
    data.ctrl[:7] = kinematics.solve(np.array([0.6, 0.0, 0.01]), lying, home, n_iterations=100)
    env.physics.step(400)

    palm = model.body("hand").geomadr[0]
    below_centre = np.abs(data.geom_xmat[palm].reshape(3, 3)[2]) @ model.geom_size[palm]
    assert data.geom_xpos[palm, 2] - below_centre > -0.003


@pytest.mark.parametrize("body", ["link5", "link6", "link7", "hand", "left_finger"])
def test_the_cube_meets_arm_and_hand(env: TaskEnv, body: str) -> None:
    env.reset(seed=0)
    geom = env.physics.model.body(body).geomadr[0]
    place_cube(env, env.physics.data.geom_xpos[geom].tolist())
    cube = env.physics.model.geom("cube").id
    assert any({cube, geom} == set(pair) for pair in env.physics.data.contact.geom.tolist())


def test_a_cube_that_is_grasped_askew_slides_into_line(env: TaskEnv) -> None:
    env.reset(seed=0)
    above = np.array([0.5, 0.0, 0.1, 0.0, 0.08])
    place_cube(env, [0.5, 0.0, CUBE_SIZE / 2])
    askew = 0.6
    env.physics.set_joint_position(
        "cube", [0.5, 0.0, CUBE_SIZE / 2, np.cos(askew / 2), 0.0, 0.0, np.sin(askew / 2)]
    )
    for height, opening, n_steps in ((0.1, 0.08, 15), (0.022, 0.08, 15), (0.022, 0.0, 15)):
        above[2] = height
        above[4] = opening
        for _ in range(n_steps):
            obs, *_ = env.step(above)
    assert obs["gripper"][0] < CUBE_SIZE + 0.003
    assert abs(np.arctan2(obs["cube_rot"][1], obs["cube_rot"][0]) / 4) < 0.05

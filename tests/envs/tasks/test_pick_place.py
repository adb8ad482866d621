from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoise.envs import make_env, make_expert
from kinoise.envs.inverse_kinematics import InverseKinematics
from kinoise.envs.rollouts import ActionPushes, Recording, rollout
from kinoise.envs.task_env import TaskEnv
from kinoise.envs.tasks.pick_place import SPEC
from kinoise.envs.tasks.pick_place.task import (
    ARM,
    CUBE_SIZE,
    GOAL_TOLERANCE,
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


def test_success_needs_the_cube_at_the_goal_at_rest_and_released(env: TaskEnv) -> None:
    obs, _ = env.reset(seed=2)
    goal = obs["goal_pos"].tolist()
    rest = [*goal, CUBE_SIZE / 2]
    place_cube(env, rest)
    assert env.task.evaluate(env.physics).success
    place_cube(env, [goal[0] + GOAL_TOLERANCE + 0.002, *rest[1:]])
    assert not env.task.evaluate(env.physics).success
    place_cube(env, [*goal, CUBE_SIZE])
    assert not env.task.evaluate(env.physics).success
    place_cube(env, rest)
    env.physics.data.joint("cube").qvel[0] = 0.1
    assert not env.task.evaluate(env.physics).success


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

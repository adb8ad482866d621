"""The MuJoCo PushT: its model against the geometry, its physics against Push-T's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kinoise.envs.task_env import TaskEnv
from kinoise.envs.tasks.push_t import geometry
from kinoise.envs.tasks.push_t.task import get_state, make_env, set_state

MILLIMETRE = 1e-3


@pytest.fixture(scope="module")
def env() -> Iterator[TaskEnv]:
    env = make_env()
    yield env
    env.close()


def _start(env: TaskEnv, state: np.ndarray) -> None:
    env.reset(seed=0)
    set_state(env.physics, state)
    env.physics.forward()


def _go(env: TaskEnv, target: np.ndarray, n_steps: int) -> np.ndarray:
    for _ in range(n_steps):
        env.step(target)
    return get_state(env.physics)


@pytest.mark.parametrize(("name", "rectangle"), [("bar", geometry.BAR), ("stem", geometry.STEM)])
def test_the_boxes_of_the_model_are_those_of_the_geometry(
    env: TaskEnv, name: str, rectangle: tuple[float, float, float, float]
) -> None:
    geom = env.physics.model.geom(name)
    x, y = np.reshape(rectangle, (2, 2)).T
    # The model's y points up and its origin is the centre of mass.
    centre = [x.mean(), geometry.CENTRE_OF_MASS[1] - y.mean()]
    np.testing.assert_allclose(geom.pos[:2] / MILLIMETRE, centre, atol=1e-9)
    half = [np.ptp(x) / 2, np.ptp(y) / 2]
    np.testing.assert_allclose(geom.size[:2] / MILLIMETRE, half, atol=1e-9)


def test_the_green_t_of_the_model_stands_at_the_goal_pose(env: TaskEnv) -> None:
    _start(env, np.array([60.0, 60.0, *geometry.GOAL_POSE]))
    model, data = env.physics.model, env.physics.data
    of_body = {
        name: data.geom_xpos[model.geom_bodyid == model.body(name).id][:2, :2]
        for name in ("goal", "block")
    }
    np.testing.assert_allclose(of_body["goal"], of_body["block"], atol=1e-9)


@pytest.mark.parametrize("state", [(60, 70, 300, 250, 1.0), (400, 100, 150, 330, 5.0)])
def test_a_state_that_is_set_is_read_back(env: TaskEnv, state: tuple[float, ...]) -> None:
    _start(env, np.array(state))
    np.testing.assert_allclose(get_state(env.physics), state, atol=1e-9)


def test_a_state_that_is_set_is_at_rest(env: TaskEnv) -> None:
    env.reset(seed=0)
    _go(env, np.array([400.0, 100.0]), 3)
    assert np.abs(env.physics.data.qvel).max() > 1e-3
    state = get_state(env.physics)
    set_state(env.physics, state)
    assert not env.physics.data.qvel.any()
    _go(env, state[:2], 5)
    np.testing.assert_allclose(get_state(env.physics)[:2], state[:2], atol=1e-6)


def test_resets_start_clear_of_block_and_walls(env: TaskEnv) -> None:
    for seed in range(200):
        obs, info = env.reset(seed=seed)
        assert env.observation_space.contains(obs)
        state = obs["state"].astype(np.float64)
        assert float(geometry.distance(state[:2], state[2:])) > 19.9
        corners = geometry.to_world(geometry.OUTLINE, state[2:])
        assert corners.min() > 7
        assert corners.max() < 505
        assert not info["success"]


def test_resets_differ_between_seeds_and_repeat_with_the_same_one(env: TaskEnv) -> None:
    first, again, other = (env.reset(seed=seed)[0]["state"] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_a_block_on_the_goal_is_a_success(env: TaskEnv) -> None:
    _start(env, np.array([60.0, 60.0, *geometry.GOAL_POSE]))
    _, reward, terminated, _, info = env.step(np.array([60.0, 60.0]))
    assert terminated
    assert info["success"]
    assert reward == info["score"] == 1.0


def test_the_block_stays_where_it_is_while_nothing_touches_it(env: TaskEnv) -> None:
    state = np.array([60.0, 60.0, 300.0, 250.0, 1.0])
    _start(env, state)
    after = _go(env, np.array([60.0, 450.0]), 20)
    np.testing.assert_allclose(after[:2], [60, 450], atol=0.5)
    np.testing.assert_array_equal(after[2:], get_state(env.physics)[2:])
    np.testing.assert_allclose(after[2:], state[2:], atol=1e-9)


def test_the_block_stops_when_the_pusher_does(env: TaskEnv) -> None:
    _start(env, np.array([256.0, 180.0, 256.0, 200.0, 0.0]))
    pushed = _go(env, np.array([256.0, 250.0]), 15)
    assert pushed[3] - 200 == pytest.approx(250 + 15 - 200, abs=1.0)
    later = _go(env, np.array([256.0, 250.0]), 10)
    np.testing.assert_allclose(later[2:], pushed[2:], atol=0.05)


def test_walls_keep_the_block_in_the_world(env: TaskEnv) -> None:
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    for _ in range(60):
        corner = obs["state"][2:4] + rng.uniform(-250, 250, 2)
        for _ in range(5):
            obs, *_ = env.step(corner.clip(0, 512))
            corners = geometry.to_world(geometry.OUTLINE, obs["state"][2:])
            assert corners.min() > 0
            assert corners.max() < 512


@pytest.mark.parametrize("seed", range(8))
def test_pushes_move_the_block_as_in_gym_pusht(env: TaskEnv, seed: int) -> None:
    pytest.importorskip("gym_pusht")
    from kinoise.envs.suites.gym_pusht import GymPushT

    other = GymPushT()
    rng = np.random.default_rng(seed)
    state = np.array([60.0, 256.0, 256.0, 256.0, rng.uniform(0, 2 * np.pi)])
    centre = geometry.to_world(np.array([geometry.CENTRE_OF_MASS]), state[2:])[0]
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)])
    state[:2] = centre + 120 * away
    end = centre + rng.uniform(-30, 30, 2)
    _start(env, state)
    other.reset(options={"state": state})
    for step in range(30):
        target = state[:2] + (end - state[:2]) * min(1.0, (step + 1) / 20)
        env.step(target)
        other.step(target)
    assert np.abs(other.state[2:4] - state[2:4]).max() > 3
    np.testing.assert_allclose(get_state(env.physics)[:4], other.state[:4], atol=1.0)
    turn = get_state(env.physics)[4] - other.state[4]
    assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 0.03


def test_the_picture_shows_goal_block_and_pusher_where_they_are(env: TaskEnv) -> None:
    _start(env, np.array([100.0, 400.0, 380.0, 100.0, 0.0]))
    frame = env.frame(None, 256, 256).astype(int)

    def colour(x: float, y: float) -> np.ndarray:
        # The camera sees a little more than the world: 3 m * 2 tan(5 deg) = 525 px.
        column, row = (round(128 + (value - 256) * 256 / 525) for value in (x, y))
        return frame[row, column]

    assert colour(100, 400).argmax() == 2
    assert colour(256, 256 + 30).argmax() == 1
    assert np.ptp(colour(380, 115)) < 90
    assert colour(380, 115).max() < 215
    assert colour(450, 450).min() > 215

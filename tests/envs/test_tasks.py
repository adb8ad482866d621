"""The contract every task keeps; a new task is covered by being in `TASKS`."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from kinoise.envs import TASKS, make_env, make_expert, task_spec
from kinoise.envs.rollouts import EpisodeResult, Recording, rollout

FAST_SEEDS = range(6)
SLOW_SEEDS = range(200)

SUCCESS_RATE = {"kinoise/PickPlace-v0": 0.99}
MEAN_SCORE = {"kinoise/PushT-v0": 0.95}

pytestmark = pytest.mark.parametrize("env_id", sorted(TASKS))


def equal(first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]) -> bool:
    same = (np.array_equal(first[key], second[key]) for key in first)
    return first.keys() == second.keys() and all(same)


def expert_episodes(env_id: str, seeds: range, **options: Any) -> list[EpisodeResult]:
    return rollout(
        partial(make_env, env_id), partial(make_expert, env_id), seeds, n_envs=8, **options
    )


def test_the_spec_agrees_with_the_environment(env_id: str) -> None:
    spec = task_spec(env_id)
    assert spec is not None
    env = make_env(env_id)
    assert env.metadata["render_fps"] == spec.control_rate_hz
    assert env.unwrapped.task.control_rate_hz == spec.control_rate_hz  # type: ignore[attr-defined]
    assert spec.action_meaning in ("absolute", "relative")
    pushes = spec.perturbation(2.0)
    assert (pushes is None) == (spec.push_scale is None)
    if spec.push_scale is not None:
        assert pushes is not None
        assert (len(spec.push_scale),) == env.action_space.shape
        np.testing.assert_allclose(pushes.scale, 2 * np.array(spec.push_scale))
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_symmetry_maps_keys_of_the_task_and_is_its_own_inverse(env_id: str) -> None:
    spec = task_spec(env_id)
    assert spec is not None
    if spec.symmetry is None:
        pytest.skip("no symmetry")
    env = make_env(env_id)
    obs, _ = env.reset(seed=0)
    values = {**obs, "action": env.action_space.sample()}
    for key, (matrix, offset) in spec.symmetry().items():
        value = values[key].reshape(-1)
        mirrored = matrix @ value + offset
        np.testing.assert_allclose(matrix @ mirrored + offset, value, rtol=1e-5, atol=1e-3)


def test_spaces_are_float32_vectors_with_finite_action_limits(env_id: str) -> None:
    env = make_env(env_id)
    assert isinstance(env.action_space, Box)
    assert env.action_space.dtype == np.float32
    assert np.isfinite(env.action_space.low).all()
    assert (env.action_space.low < env.action_space.high).all()
    assert isinstance(env.observation_space, Dict)
    for space in env.observation_space.values():
        assert isinstance(space, Box)
        assert space.dtype == np.float32


def test_observations_rewards_and_infos_are_what_the_spaces_say(env_id: str) -> None:
    env = make_env(env_id)
    env.action_space.seed(0)
    obs, info = env.reset(seed=0)
    for _ in range(20):
        assert env.observation_space.contains(obs)
        assert isinstance(info["success"], bool)
        assert isinstance(info["score"], float)
        assert 0.0 <= info["score"] <= 1.0
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert isinstance(reward, float)
        assert isinstance(terminated, bool)
        assert isinstance(truncated, bool)
        assert terminated == info["success"]


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")
def test_gymnasiums_own_checker_accepts_it(env_id: str) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


def test_a_reset_with_the_same_seed_gives_the_same_episode(env_id: str) -> None:
    first, second = make_env(env_id), make_env(env_id)
    second.reset(seed=99)  # whatever came before
    second.step(second.action_space.sample())
    obs, _ = first.reset(seed=5)
    again, _ = second.reset(seed=5)
    first.action_space.seed(0)
    assert equal(obs, again)
    for _ in range(15):
        action = first.action_space.sample()
        obs, *rest, info = first.step(action)
        again, *rest_again, info_again = second.step(action)
        assert equal(obs, again)
        assert (rest, info) == (rest_again, info_again)


def test_different_seeds_give_different_starts(env_id: str) -> None:
    env = make_env(env_id)
    starts = [np.concatenate([v.ravel() for v in env.reset(seed=s)[0].values()]) for s in range(5)]
    assert len({start.tobytes() for start in starts}) == 5


def test_observations_are_copies(env_id: str) -> None:
    env = make_env(env_id)
    obs, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in obs.items()}
    for _ in range(5):
        env.step(env.action_space.sample())
    assert equal(obs, kept)


def test_a_saved_state_is_the_whole_episode(env_id: str) -> None:
    env = make_env(env_id).unwrapped
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(10)]
    env.reset(seed=3)
    for action in actions[:5]:
        env.step(action)
    state = env.physics.state()  # type: ignore[attr-defined]
    first = [env.step(action)[0] for action in actions[5:]]
    env.reset(seed=4)
    env.physics.set_state(state)  # type: ignore[attr-defined]
    second = [env.step(action)[0] for action in actions[5:]]
    assert all(equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("renderer", ["auto", "raycast"])
def test_pictures_are_drawn_with_and_without_opengl(env_id: str, renderer: str) -> None:
    env = make_env(env_id, render_mode="rgb_array", renderer=renderer, frame_size=(64, 48))
    env.reset(seed=0)
    picture: Any = env.render()
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5
    env.close()


def test_camera_pictures_join_the_observation(env_id: str) -> None:
    camera = gymnasium.make(env_id).unwrapped.task.camera  # type: ignore[attr-defined]
    env = make_env(env_id, cameras=(camera,), image_size=48)
    obs, _ = env.reset(seed=0)
    picture = obs[f"image_{camera}"]
    assert picture.shape == (48, 48, 3)
    assert picture.dtype == np.uint8
    assert env.observation_space.contains(obs)
    env.close()


def test_every_task_has_an_expert_that_stays_in_the_limits(env_id: str) -> None:
    assert TASKS[env_id].expert is not None
    space = make_env(env_id).action_space
    assert isinstance(space, Box)
    for result in expert_episodes(env_id, range(2), record=Recording(trajectories=True)):
        assert result.action is not None
        assert result.action.dtype == np.float32
        assert result.action.shape == (result.length, *space.shape)
        assert (space.low <= result.action).all()
        assert (result.action <= space.high).all()


def test_success_can_be_reached(env_id: str) -> None:
    results = expert_episodes(env_id, FAST_SEEDS)
    assert any(result.success for result in results)
    assert np.mean([result.success for result in results]) >= SUCCESS_RATE.get(env_id, 0.0)
    assert np.mean([result.score for result in results]) > 0.9


@pytest.mark.slow
def test_the_expert_keeps_its_promise_on_200_seeds(env_id: str) -> None:
    results = expert_episodes(env_id, SLOW_SEEDS)
    rate = np.mean([result.success for result in results])
    score = np.mean([result.score for result in results])
    assert rate >= SUCCESS_RATE.get(env_id, 0.0)
    assert score >= MEAN_SCORE.get(env_id, 0.0)

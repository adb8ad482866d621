"""The gym-pusht adapter against gym-pusht itself and against the recorded human episodes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kinoise.envs.errors import EnvError
from kinoise.envs.suites.gym_pusht import GymPushT, replay
from kinoise.envs.tasks.push_t import geometry

HUMAN_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "pusht_human.zarr"
FREE_STATE = np.array([60.0, 70.0, 300.0, 250.0, 1.0])

pytest.importorskip("gym_pusht")


@pytest.fixture(scope="module")
def env() -> Iterator[GymPushT]:
    env = GymPushT()
    yield env
    env.close()


def _actions(seed: int, n: int) -> np.ndarray:
    """Random targets, each held for four steps, many of them across the block."""
    targets = np.random.default_rng(seed).uniform(50, 450, (n // 4, 2))
    return targets.astype(np.float32).repeat(4, axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_states_are_bitwise_those_of_gym_pusht(env: GymPushT, seed: int) -> None:
    from gym_pusht.envs import PushTEnv

    reference = PushTEnv()
    expected, _ = reference.reset(seed=seed)
    env.reset(seed=seed)
    np.testing.assert_array_equal(env.state, expected)
    for action in _actions(seed, 80):
        expected, expected_reward, expected_end, _, expected_info = reference.step(action)
        obs, reward, end, _, info = env.step(action)
        np.testing.assert_array_equal(env.state, expected)
        np.testing.assert_array_equal(obs["state"], expected.astype(np.float32))
        assert reward == pytest.approx(float(expected_reward), abs=1e-9)
        assert info["coverage"] == pytest.approx(expected_info["coverage"], abs=1e-9)
        assert end == expected_end


def test_observations_and_actions_fit_their_spaces(env: GymPushT) -> None:
    obs, info = env.reset(seed=3)
    assert env.observation_space.contains(obs)
    assert set(info) == {"coverage", "score", "success"}
    for action in _actions(3, 40):
        assert env.action_space.contains(action)
        obs, *_ = env.step(action)
        assert env.observation_space.contains(obs)


def test_reset_puts_agent_and_block_exactly_where_asked(env: GymPushT) -> None:
    env.reset(seed=0)
    for action in _actions(0, 20):
        env.step(action)
    obs, _ = env.reset(options={"state": FREE_STATE})
    np.testing.assert_allclose(env.state, FREE_STATE, atol=1e-12)
    np.testing.assert_allclose(
        obs["keypoint"], geometry.keypoints(FREE_STATE[2:]), rtol=0, atol=1e-4
    )


def test_an_episode_does_not_depend_on_what_ran_before(env: GymPushT) -> None:
    first = replay(env, FREE_STATE, _actions(1, 40))
    replay(env, FREE_STATE + np.array([0, 0, 20, -20, 1]), _actions(2, 40))
    again = replay(env, FREE_STATE, _actions(1, 40))
    np.testing.assert_array_equal(first.states, again.states)


def test_covering_the_goal_ends_the_episode_with_success(env: GymPushT) -> None:
    _, info = env.reset(options={"state": [60.0, 60.0, *geometry.GOAL_POSE]})
    assert info["success"]
    assert info["score"] == 1.0
    _, reward, terminated, truncated, _ = env.step(np.array([60.0, 60.0]))
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_an_episode_is_truncated_after_max_steps() -> None:
    env = GymPushT(max_steps=3)
    env.reset(options={"state": FREE_STATE})
    truncated = [env.step(FREE_STATE[:2])[3] for _ in range(3)]
    assert truncated == [False, False, True]


@pytest.mark.parametrize("action", [[np.nan, 1.0], [1.0, np.inf], [1.0], [[1.0, 2.0]]])
def test_an_action_that_is_not_two_finite_numbers_is_refused(env: GymPushT, action: list) -> None:
    env.reset(seed=0)
    with pytest.raises(EnvError, match="the action must be 2 finite numbers"):
        env.step(np.array(action))


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym_pusht.envs", None)
    with pytest.raises(EnvError, match=r"pip install 'kinoise\[pusht\]'"):
        GymPushT()


def test_pictures_need_no_display_and_print_nothing() -> None:
    program = (
        "from kinoise.envs.suites.gym_pusht import GymPushT\n"
        "env = GymPushT(image=True, render_size=128)\n"
        "obs, _ = env.reset(seed=0)\n"
        "env.step(env.action_space.low)\n"
        "assert obs['img'].shape == (96, 96, 3) and obs['img'].dtype == 'uint8'\n"
        "assert env.render().shape == (128, 128, 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.skipif(not HUMAN_DATA.exists(), reason="needs shared/data")
def test_replaying_the_human_actions_gives_back_the_recorded_episodes(env: GymPushT) -> None:
    import zarr

    group = zarr.open_group(str(HUMAN_DATA), mode="r")
    state = np.asarray(group["data/state"], np.float64)
    action = np.asarray(group["data/action"])
    ends = np.asarray(group["meta/episode_ends"])
    error, coverage = [], []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        replayed = replay(env, state[start], action[start:end])
        difference = replayed.states[:-1] - state[start:end]
        difference[:, 4] = (difference[:, 4] + np.pi) % (2 * np.pi) - np.pi
        error.append(np.abs(difference).max(axis=0))
        coverage.append(replayed.coverage)
    worst = np.array(error)
    assert worst[:, :2].max() < 1e-4  # the agent, px: the record is float32
    assert worst[:, 2:4].max() < 0.2
    assert np.median(worst[:, 2:4]) < 1e-4
    assert worst[:, 4].max() < 3e-3
    # What the humans reached.
    assert np.mean([c[-1] for c in coverage]) == pytest.approx(0.899, abs=1e-3)
    best = np.array([c.max() for c in coverage])
    assert geometry.score(best).mean() == pytest.approx(0.946, abs=1e-3)
    assert (best > geometry.SUCCESS_COVERAGE).sum() == 7


@pytest.mark.skipif(not HUMAN_DATA.exists(), reason="needs shared/data")
def test_images_look_like_the_recorded_ones() -> None:
    import zarr

    data = zarr.open_group(str(HUMAN_DATA), mode="r")["data"]
    env = GymPushT(image=True)
    for step in (0, 60, 5000):
        obs, _ = env.reset(options={"state": np.asarray(data["state"][step])})
        recorded = np.asarray(data["img"][step])
        assert np.abs(obs["img"].astype(float) - recorded).mean() < 1.0

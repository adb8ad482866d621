"""One episode on a scripted environment: every number of its result is known beforehand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from kinoise.envs.rollouts import ActionPushes, ControlLoop, EpisodeResult, Recording

Obs = dict[str, NDArray[Any]]

#: Success and score at the start and after each step.
SUCCESS = (False, False, True, False, False)
SCORE = (0.3, 0.1, 0.8, 0.2, 0.0)


class Scripted(gymnasium.Env[Obs, NDArray[Any]]):
    """Observes seed and time, rewards 1, 2, 3, 4, ends after four steps, draws its time."""

    observation_space = Dict({"x": Box(0, 100, (2,))})
    action_space = Box(-1, 1, (1,))

    def __init__(self, success: tuple[bool, ...] = SUCCESS, score: tuple[float, ...] = SCORE):
        self.success = success
        self.score = score
        self.executed: list[float] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        self.seed = seed
        self.time = 0
        return self._obs(), self._info()

    def step(self, action: NDArray[Any]) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.executed.append(float(action[0]))
        self.time += 1
        return self._obs(), float(self.time), self.time == 4, False, self._info()

    def render(self) -> Any:
        return np.full((2, 2, 3), self.time, np.uint8)

    def _obs(self) -> Obs:
        return {"x": np.array([self.seed, self.time], np.float32)}

    def _info(self) -> dict[str, Any]:
        return {"success": self.success[self.time], "score": self.score[self.time]}


def actor(observations: Any, seeds: Any, steps: Any) -> NDArray[Any]:
    """Act by a tenth of the step."""
    return np.array([[0.1 * step] for step in steps])


def only(env: Scripted, **settings: Any) -> EpisodeResult:
    [result] = ControlLoop([env], actor, **settings).run([7])
    return result


def test_success_at_any_step_and_the_highest_score_count() -> None:
    result = only(Scripted())
    assert result.success
    assert result.score == 0.8
    assert (result.seed, result.length, result.return_) == (7, 4, 10.0)


def test_the_start_of_an_episode_is_judged_too() -> None:
    result = only(Scripted((True, False, False, False, False), (0.9, 0.1, 0.1, 0.1, 0.1)))
    assert result.success
    assert result.score == 0.9


def test_an_episode_ends_at_its_limit() -> None:
    result = only(Scripted(), max_steps=1)
    assert result.length == 1
    assert not result.success


def test_the_observation_before_each_step_and_the_chosen_action_are_recorded() -> None:
    env = Scripted()
    recording = Recording(trajectories=True)
    result = only(env, record=recording, perturb=lambda actions, seeds, steps: actions + 0.5)
    assert result.obs is not None
    assert result.action is not None
    assert result.obs["x"].tolist() == [[7, 0], [7, 1], [7, 2], [7, 3]]
    np.testing.assert_allclose(result.action[:, 0], [0.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(env.executed, [0.5, 0.6, 0.7, 0.8])


@pytest.mark.parametrize(
    ("stride", "shown"), [(1, [0, 1, 2, 3, 4]), (3, [0, 3, 4]), (2, [0, 2, 4])]
)
def test_frames_follow_the_stride_and_end_with_the_last_state(
    stride: int, shown: list[int]
) -> None:
    frames = only(Scripted(), record=Recording(frame_stride=stride)).frames
    assert frames is not None
    assert frames[:, 0, 0, 0].tolist() == shown


def _pushes(seed: int, n_steps: int, **settings: Any) -> NDArray[Any]:
    """Return the pushes [n_steps, 2] of one episode."""
    pushes = ActionPushes(scale=(1.0, 3.0), **settings)
    zeros = np.zeros((1, 2))
    return np.array(
        [pushes(zeros, np.array([seed]), np.array([step]))[0] for step in range(n_steps)]
    )


def test_pushes_differ_between_episodes_and_have_the_scale_asked_for() -> None:
    """Each of some hundred pushes is normal: its deviation is known to a tenth or so."""
    several = [_pushes(seed, 2000, rate=0.5, duration=(1, 1)) for seed in range(3)]
    assert np.abs(several[0] - several[1]).max() > 0.1
    pushed = np.concatenate(several)
    pushed = pushed[pushed.any(axis=1)]
    np.testing.assert_allclose(pushed.std(axis=0), [1.0, 3.0], rtol=0.1)


def test_pushes_last_from_their_shortest_to_their_longest() -> None:
    pushed = _pushes(0, 4000, rate=0.02, duration=(2, 4))[:, 0]
    edges = np.flatnonzero(np.diff(pushed, prepend=0.0, append=0.0))
    lengths = [int(stop - start) for start, stop in pairwise(edges) if pushed[start] != 0]
    assert set(lengths) == {2, 3, 4}


def test_pushes_are_drawn_apart_from_the_numbers_of_the_reset() -> None:
    """An environment draws its start from the same seed: the two must not be related."""
    pushed = _pushes(5, 300, rate=0.5, duration=(1, 1))[:, 0]
    generator = np.random.default_rng(5)
    offsets = np.zeros(300)
    step = 0
    while step < 300:
        step += int(generator.geometric(0.5))
        generator.integers(1, 1, endpoint=True)
        offsets[step : step + 1] = generator.normal(0.0, (1.0, 3.0))[0]
        step += 1
    assert np.abs(pushed - offsets).max() > 0.1

"""Other people's environments: one shape of observation, and success as they mean it."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from numpy.typing import NDArray

from kinoise.envs import make_env
from kinoise.envs.errors import EnvError
from kinoise.envs.foreign import ForeignEnv
from kinoise.envs.rollouts import Recording, rollout


class Plain(gymnasium.Env[Any, Any]):
    """Walks three steps and says what it is told to say; reuses its observation's memory."""

    def __init__(
        self,
        info: dict[str, Any] | None = None,
        *,
        terminates: bool = True,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
    ) -> None:
        self.observation_space = observation_space or Box(-9, 9, (2,), np.float64)
        self.action_space = action_space or Box(-1, 1, (1,), np.float32)
        self.executed: list[float] = []
        self._info = info or {}
        self._terminates = terminates
        self._memory = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._memory[:] = 0
        return self._memory, {}

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.executed.append(float(action[0]))
        self._memory += 1
        done = bool(self._memory[0] >= 3)
        info = self._info if done else {}
        return self._memory, 1.0, done and self._terminates, done and not self._terminates, info


def act(observations: Any, seeds: Any, steps: Any) -> NDArray[Any]:
    return np.full((len(seeds), 1), 5.0)


def run(env: gymnasium.Env[Any, Any], **options: Any) -> Any:
    record = Recording(trajectories=True)
    return rollout(lambda: ForeignEnv(env, **options), lambda: act, [0], record=record)[0]


@pytest.mark.parametrize("key", ["success", "is_success"])
@pytest.mark.parametrize("value", [True, False])
def test_success_is_read_from_the_info(key: str, value: bool) -> None:
    result = run(Plain({key: value}))
    assert result.success == value
    assert result.score == float(value)


@pytest.mark.parametrize("terminates", [True, False])
def test_an_end_is_a_success_where_it_is_said_to_be_and_a_timeout_is_not(terminates: bool) -> None:
    assert run(Plain(terminates=terminates), success="terminated").success == terminates


def test_an_environment_that_never_speaks_of_success_is_told_so() -> None:
    with pytest.raises(EnvError, match="task.success=terminated"):
        run(Plain())


def test_a_score_of_the_info_counts_and_lies_between_0_and_1() -> None:
    assert run(Plain({"success": False, "score": 0.5})).score == 0.5
    with pytest.raises(EnvError, match="scores are 0 to 1"):
        run(Plain({"success": True, "score": 1500}))


def test_observations_are_single_precision_copies_and_actions_are_clipped() -> None:
    env = Plain({"success": True})
    result = run(env)
    assert result.obs["state"].dtype == np.float32
    assert result.obs["state"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert env.executed == [1.0] * 3


@pytest.mark.parametrize(
    "spaces",
    [
        {"action_space": Discrete(2)},
        {"observation_space": Discrete(2)},
        {"observation_space": Dict({"a": Dict({"b": Box(0, 1)})})},
    ],
)
def test_spaces_that_cannot_be_used_are_named(spaces: dict[str, Any]) -> None:
    with pytest.raises(EnvError, match="only a Box"):
        ForeignEnv(Plain(**spaces))


def test_a_picture_that_cannot_be_drawn_is_named_in_one_line() -> None:
    class Blind(Plain):
        def render(self) -> Any:
            raise gymnasium.error.DependencyNotInstalled("pygame is\nmissing")

    with pytest.raises(EnvError, match="cannot draw itself: pygame is missing"):
        ForeignEnv(Blind()).render()


def test_an_environment_of_gymnasium_rolls_out() -> None:
    make = partial(make_env, "MountainCarContinuous-v0", success="terminated")
    [result] = rollout(make, lambda: act, [0], max_steps=5)
    assert (result.success, result.score, result.length) == (False, 0.0, 5)


def test_a_rollout_of_a_bare_environment_names_the_mend() -> None:
    with pytest.raises(EnvError, match="make_env"):
        rollout(Plain, lambda: act, [0])


class Reuses(gymnasium.Env[Any, Any]):
    """Writes every observation into the same array, as some simulators do."""

    observation_space = Box(0, 100, (1,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)
    spec = None

    def __init__(self) -> None:
        self.buffer = np.zeros(1, np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.buffer[:] = 0
        return self.buffer, {"success": False}

    def step(self, action: Any) -> Any:
        self.buffer += 1
        return self.buffer, 0.0, False, False, {"success": False}


def test_an_observation_outlives_the_next_one() -> None:
    env = ForeignEnv(Reuses())
    first = env.reset()[0]
    second = env.step(np.zeros(1))[0]
    env.step(np.zeros(1))
    assert (first["state"].tolist(), second["state"].tolist()) == ([0.0], [1.0])

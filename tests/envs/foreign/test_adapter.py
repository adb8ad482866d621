"""Other people's environments: one shape of observation, and success as they mean it."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple
from numpy.typing import NDArray

from kinoise.envs import make_env
from kinoise.envs.errors import EnvError
from kinoise.envs.foreign import Connection, ForeignEnv
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
    with pytest.raises(EnvError, match="success=terminated"):
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
        {"action_space": Dict({"a": Box(-1, 1)})},
        {"observation_space": Text(3)},
        {"observation_space": Dict({"a": Dict({"b": Text(3)})})},
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

    action_space = Box(-1, 1, (1,), np.float32)
    spec = None

    def __init__(self, shape: tuple[int, ...], dtype: type) -> None:
        self.observation_space = Box(0, 100, shape, dtype)
        self.buffer = np.zeros(shape, dtype)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.buffer[:] = 0
        return self.buffer, {"success": False}

    def step(self, action: Any) -> Any:
        self.buffer += 1
        return self.buffer, 0.0, False, False, {"success": False}


@pytest.mark.parametrize(("shape", "dtype"), [((1,), np.float32), ((2, 2, 3), np.uint8)])
def test_an_observation_outlives_the_next_one(shape: tuple[int, ...], dtype: type) -> None:
    env = ForeignEnv(Reuses(shape, dtype))
    (key,) = env.observation_space.spaces
    first = env.reset()[0]
    second = env.step(np.zeros(1))[0]
    env.step(np.zeros(1))
    assert (first[key].max(), second[key].max()) == (0, 1)


class Says(Plain):
    """Observes whatever its space allows."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.executed.append(action)  # type: ignore[arg-type]
        return self.observation_space.sample(), 0.5, False, False, self._info


PARTS = Dict(
    {
        "arm": Dict({"position": Box(-9, 9, (2,), np.float64), "joints": Box(-9, 9, (3,))}),
        "grip": Discrete(3, start=5),
        "lamps": MultiBinary(4),
        "dials": MultiDiscrete([2, 3]),
        "pair": Tuple((Box(0, 1, ()), Discrete(2))),
        "camera": Box(0, 255, (4, 5, 3), np.uint8),
        "mission": Text(5),
    }
)


def test_parts_of_observations_have_names_and_what_is_no_number_is_left_out() -> None:
    env = ForeignEnv(Says({"success": False}, observation_space=PARTS))
    for obs in (env.reset(seed=1)[0], env.step(np.zeros(1))[0]):
        assert env.observation_space.contains(obs)
        assert {key: value.dtype.name for key, value in obs.items()} == {
            "arm.position": "float32",
            "arm.joints": "float32",
            "grip": "float32",
            "lamps": "float32",
            "dials": "float32",
            "pair.0": "float32",
            "pair.1": "float32",
            "camera": "uint8",
        }
        assert 5 <= obs["grip"] <= 7


def test_a_policy_gets_what_it_was_trained_on_in_its_own_order_and_shape() -> None:
    observes = {"lamps": (4,), "arm/position": (2,), "grip": (1,), "camera": (4, 5, 3)}
    env = ForeignEnv(
        Says({"success": True}, observation_space=PARTS), Connection(observes=observes)
    )
    obs, _ = env.reset(seed=1)
    assert {key: value.shape for key, value in obs.items()} == observes
    assert list(obs) == list(observes)
    assert any("'grip' of shape () is rearranged to (1,)" in note for note in env.notes)


def test_actions_are_of_the_environments_dtype_and_shape() -> None:
    env = Says({"success": True}, action_space=Box(-1, 0.05, (2, 2), np.float64))
    wrapped = ForeignEnv(env, Connection(action_dim=4))
    wrapped.reset()
    *_, info = wrapped.step(np.float32([0.05, -1, 0, 0]))
    assert env.executed[0].dtype == np.float64  # type: ignore[attr-defined]
    assert env.executed[0].shape == (2, 2)  # type: ignore[attr-defined]
    assert not info["action_clipped"]  # 0.05 in single precision is a little more than 0.05
    *_, info = wrapped.step(np.float32([0.06, -1, 0, 0]))
    assert info["action_clipped"]
    assert env.executed[1].max() == 0.05  # type: ignore[attr-defined]


def test_whole_actions_are_rounded() -> None:
    env = Says({"success": True}, action_space=Box(0, 9, (1,), np.int64))
    wrapped = ForeignEnv(env)
    wrapped.reset()
    wrapped.step(np.float32([2.7]))
    assert env.executed == [3]


def test_actions_out_of_bounds_can_be_refused() -> None:
    env = ForeignEnv(Says({"success": True}), Connection(bounds="refuse"))
    env.reset()
    env.step(np.ones(1))
    with pytest.raises(EnvError, match="takes -1 to 1; action_bounds=clip"):
        env.step(np.full(1, 1.5))


def test_another_number_of_actions_is_named() -> None:
    with pytest.raises(EnvError, match="acts in 5 numbers, Plain takes 1"):
        ForeignEnv(Plain(), Connection(action_dim=5))


def test_clipped_steps_are_counted() -> None:
    [result] = rollout(lambda: ForeignEnv(Plain({"success": True})), lambda: act, [0])
    assert (result.clipped, result.length) == (3, 3)


@pytest.mark.parametrize(
    ("rule", "info", "success"),
    [
        ("reward>=1", {}, True),
        ("reward>1", {}, False),
        ("return>=3", {}, True),
        ("return>=4", {}, False),
        ("steps>=3 and terminated", {}, True),
        ("truncated or info.coverage>0.8", {"coverage": np.float32(0.9)}, True),
        ("info.a.b==2", {"a": {"b": 2}}, True),
        ("terminated and not info.crashed", {"crashed": True}, False),
    ],
)
def test_success_by_a_rule(rule: str, info: dict[str, Any], success: bool) -> None:
    assert run(Plain(info), success=rule).success == success


def test_a_rule_whose_quantity_never_comes_is_named() -> None:
    with pytest.raises(
        EnvError, match=r"'info.covrage>0.8' asks for in its info \(it has coverage"
    ):
        run(Plain({"coverage": 0.9}), success="info.covrage>0.8")


def test_episodes_end_after_max_steps_or_where_no_limit_is_known_sometime() -> None:
    endless = Says({"success": False})
    [result] = rollout(lambda: ForeignEnv(endless, Connection(max_steps=7)), lambda: act, [0])
    assert result.length == 7
    env = ForeignEnv(endless)
    assert any("knows no time limit" in note for note in env.notes)
    [result] = rollout(lambda: env, lambda: act, [0])
    assert result.length == 1000


def test_a_longer_limit_than_the_registered_one_holds() -> None:
    connection = Connection(success="terminated", max_steps=250)
    make = partial(make_env, "gym:Pendulum-v1", connection=connection)
    assert rollout(make, lambda: act, [0])[0].length == 250

"""The control loop: one for rollouts and for a robot; the clock is the difference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

from kinoise.envs.rollouts import ControlLoop

Obs = dict[str, NDArray[Any]]


class Counter(gymnasium.Env[Obs, NDArray[Any]]):
    """Observes its seed and step; an episode lasts seed + 1 steps."""

    observation_space = Dict({"x": Box(0, 100, (2,))})
    action_space = Box(-1, 1, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        self.seed = seed or 0
        self.time = 0
        return self._obs(), {"success": False, "score": 0.0}

    def step(self, action: NDArray[Any]) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.time += 1
        done = self.time > self.seed
        return self._obs(), float(action[0]), done, False, {"success": done, "score": float(done)}

    def _obs(self) -> Obs:
        return {"x": np.array([self.seed, self.time], np.float32)}


class Recorder:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], list[int]]] = []
        self.observations: list[Obs] = []

    def __call__(
        self, observations: Sequence[Obs], seeds: Sequence[int], steps: Sequence[int]
    ) -> NDArray[Any]:
        for obs, seed, step in zip(observations, seeds, steps, strict=True):
            assert obs["x"].tolist() == [seed, step]
        self.seen.append((list(seeds), list(steps)))
        self.observations += observations
        return np.ones((len(seeds), 1))


class ThreeTicks:
    """A clock that ends the loop after three commands and writes down what it is asked."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def wait(self) -> bool:
        self.log.append("wait")
        return self.log.count("command") < 3

    def commanded(self) -> None:
        self.log.append("command")


def test_an_actor_sees_each_episode_with_its_seed_and_step() -> None:
    actor = Recorder()
    results = list(ControlLoop([Counter(), Counter()], actor).run([2, 1, 0]))
    assert actor.seen == [([2, 1], [0, 0]), ([2, 1], [1, 1]), ([2], [2]), ([0], [0])]
    assert [(result.seed, result.length) for result in results] == [(1, 2), (2, 3), (0, 1)]


def test_observations_go_from_the_environment_to_the_actor_as_they_are() -> None:
    actor = Recorder()
    env = Counter()
    shown: list[Obs] = []
    original = env._obs
    env._obs = lambda: shown.append(original()) or shown[-1]  # type: ignore[func-returns-value,method-assign]
    list(ControlLoop([env], actor).run([3]))
    assert all(a is b for a, b in zip(actor.observations, shown, strict=False))


def test_the_clock_is_asked_before_every_tick_and_ends_the_loop() -> None:
    clock = ThreeTicks()
    results = list(ControlLoop([Counter()], Recorder(), clock=clock).run(count(0)))
    assert clock.log == ["wait", "command"] * 3 + ["wait"]
    # Seed 0 takes one tick and seed 1 two; seed 2 was under way when the clock ended.
    assert [result.seed for result in results] == [0, 1]


class Reporter(Recorder):
    """Has something to say of every episode."""

    def report(self, seed: int) -> dict[str, float]:
        assert seed in self.seen[-1][0]
        return {"tenfold": 10.0 * seed}


def test_what_an_actor_has_to_say_of_an_episode_travels_with_its_result() -> None:
    results = list(ControlLoop([Counter(), Counter()], Reporter()).run([0, 2, 1]))
    assert {r.seed: r.report for r in results} == {s: {"tenfold": 10.0 * s} for s in (0, 1, 2)}
    silent = next(iter(ControlLoop([Counter()], Recorder()).run([1])))
    assert silent.report is None

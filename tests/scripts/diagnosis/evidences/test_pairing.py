"""Known systems: what follows from which action is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.scripts.diagnosis.demonstrations import Demonstrations
from kinoise.scripts.diagnosis.evidences.pairing import (
    Profile,
    _joins,
    _profile,
    _shifted,
    _unrelated,
)

Array = NDArray[np.float64]
LENGTH = 30


def integrator(n_episodes: int = 20, seed: int = 0) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return observations, actions and ends of x[t + 1] = x[t] + u[t], u a noisy pull to zero."""
    rng = np.random.default_rng(seed)
    obs = []
    actions = []
    for _ in range(n_episodes):
        x = rng.normal(size=2)
        for _ in range(LENGTH):
            u = -0.2 * np.tanh(2 * x) + 0.1 * rng.normal(size=2)
            obs.append(x)
            actions.append(u)
            x = x + u
    ends = np.arange(1, n_episodes + 1) * LENGTH
    return np.array(obs), np.array(actions), ends


def profile(obs: Array, action: Array, ends: NDArray[np.int64]) -> Profile:
    found = _profile(obs, action, ends)
    assert found is not None
    return found


def by_episode(values: Array) -> Array:
    return values.reshape(-1, LENGTH, values.shape[1])


def test_the_action_of_the_same_step_explains_an_integrator() -> None:
    found = profile(*integrator())
    assert found.gain > 0.99
    assert found.chance < 0.1
    assert found.peak == 0
    assert _unrelated(found).effect == 0
    assert _shifted(found, None).effect == 0


@pytest.mark.parametrize("late", [1, 2])
def test_late_observations_follow_from_earlier_actions(late: int) -> None:
    obs, action, ends = integrator()
    delayed = by_episode(obs)[:, np.maximum(np.arange(LENGTH) - late, 0)].reshape(-1, 2)
    found = profile(delayed, action, ends)
    assert found.peak == -late
    clue = _shifted(found, None)
    assert clue.cause == "delay"
    assert clue.effect > 0.9


def test_answers_to_what_happened_are_not_taken_for_its_cause() -> None:
    obs, action, ends = integrator()
    rng = np.random.default_rng(1)
    pushes = by_episode(np.cumsum(0.1 * rng.normal(size=obs.shape), axis=0))
    pushed = (by_episode(obs) + pushes).reshape(-1, 2)
    answer = by_episode(action) - 2 * np.diff(pushes, axis=1, prepend=pushes[:, :1])
    found = profile(pushed, answer.reshape(-1, 2), ends)
    assert _shifted(found, None).effect == 0


def test_a_hidden_velocity_is_no_delay() -> None:
    rng = np.random.default_rng(2)
    place = []
    actions = []
    for _ in range(20):
        x = rng.normal(size=2)
        v = np.zeros(2)
        for _ in range(LENGTH):
            u = -0.05 * x - 0.2 * v + 0.05 * rng.normal(size=2)
            place.append(x)
            actions.append(u)
            v = 0.85 * v + u
            x = x + v
    ends = np.arange(1, 21) * LENGTH
    assert profile(np.array(place), np.array(actions), ends).peak == 0


def test_a_delay_that_the_environment_has_too_is_no_fault_of_the_data() -> None:
    obs, action, ends = integrator()
    delayed = by_episode(obs)[:, np.maximum(np.arange(LENGTH) - 1, 0)].reshape(-1, 2)
    there = profile(delayed, action, ends)
    prompt = profile(obs, action, ends)
    assert _shifted(there, there).effect <= 0.5
    assert _shifted(there, prompt).effect > 0.9


def test_actions_of_other_episodes_explain_nothing() -> None:
    obs, action, ends = integrator()
    found = profile(obs, np.roll(by_episode(action), 1, axis=0).reshape(-1, 2), ends)
    assert _unrelated(found).effect > 0.9


def test_few_steps_say_nothing() -> None:
    obs, action, ends = integrator(3)
    assert _profile(obs[:60], action[:60], ends[:2]) is None


def test_episodes_joined_in_the_wrong_places_jump_inside() -> None:
    rng = np.random.default_rng(0)
    paths = np.cumsum(0.02 * rng.normal(size=(20, LENGTH, 2)), axis=1) + rng.normal(size=(20, 1, 2))

    def joins(ends: NDArray[np.int64]) -> float:
        begins = np.concatenate([[0], ends[:-1]])
        return _joins(
            Demonstrations(
                obs=paths.reshape(-1, 2),
                action=np.zeros((20 * LENGTH, 1)),
                ends=ends,
                seeds=np.full(len(ends), -1),
                episodes=np.arange(len(begins)),
                names=("x", "y"),
            )
        ).effect

    right = np.arange(1, 21) * LENGTH
    assert joins(right) == 0
    assert joins(np.append(right[:-1] + 7, right[-1])) > 0.9

"""Steps of a known length are found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from kinoise.datasets.inspection.facts.meaning import read_meaning
from kinoise.datasets.inspection.facts.sample import Sample
from kinoise.datasets.inspection.facts.steps import StepColumn, find_steps

from .planted import Episode, many, reach

TURN = 2 * np.pi


def driven(number: int, *, gain: float = 2.0, blocked: float = 0.0, noise: float = 0.0) -> Episode:
    """Return a heading that wraps and a place; the second action moves the place, the third it."""
    generator = np.random.default_rng(number)
    action = generator.uniform(-1, 1, (60, 3))
    moved = gain * action[:, 1] * (generator.random(60) >= blocked)
    place = np.concatenate([[0.0], np.cumsum(moved)[:-1]]) + noise * generator.normal(size=60)
    heading = np.concatenate([[0.0], np.cumsum(2.5 * action[:, 2])[:-1]])
    return np.stack([(heading + np.pi) % TURN - np.pi, generator.normal(size=60), place], 1), action


def steps(data: Sample, periods: list[float]) -> tuple[StepColumn, ...]:
    """Return what is found in demonstrations that say nothing of their actions' meaning."""
    return find_steps(data, read_meaning(data, None), periods)


@pytest.mark.parametrize("gain", [2.0, -0.1])
def test_each_step_is_found_with_its_column_and_its_length(gain: float) -> None:
    place, heading = steps(many(lambda n: driven(n, gain=gain)), [TURN, 0, 0])
    assert (place.action, place.obs, place.label) == (1, 2, "state[2]")
    assert place.gain == pytest.approx(gain)
    assert (heading.action, heading.obs) == (2, 0)
    assert heading.gain == pytest.approx(2.5)
    assert place.blocked == heading.blocked == 0


def test_a_robot_that_is_blocked_now_and_then_still_steps_so_far() -> None:
    found = steps(many(lambda n: driven(n, blocked=0.3)), [TURN, 0, 0])
    assert found[0].gain == pytest.approx(2.0)
    assert found[0].blocked == pytest.approx(0.3, abs=0.03)


def test_the_column_that_moves_most_often_is_the_robot_and_not_what_it_carries() -> None:
    def carrying(number: int) -> Episode:
        obs, action = driven(number)
        carried = np.concatenate([np.full(18, obs[18, 2]), obs[18:, 2]])
        return np.concatenate([carried[:, None], obs], 1), action

    found = steps(many(carrying), [0, TURN, 0, 0])
    assert [(each.action, each.obs) for each in found] == [(1, 3), (2, 1)]


def test_absolute_actions_noise_and_seldom_steps_are_no_steps_of_a_known_length() -> None:
    assert steps(many(reach), [0, 0]) == ()
    noisy = steps(many(lambda n: driven(n, noise=1.0)), [TURN, 0, 0])
    assert [each.action for each in noisy] == [2]  # the heading has no noise

    def seldom(number: int) -> Episode:
        obs, action = reach(number)
        action = np.zeros_like(action)
        obs = np.zeros_like(obs)
        if number < 5:
            action[3] = 1.0
            obs[4:] = 1.0
        return obs, action

    assert steps(many(seldom), [0, 0]) == ()


def test_one_step_of_one_episode_is_nothing_to_go_by() -> None:
    assert steps(many(lambda n: driven(n), 1), [TURN, 0, 0]) != ()
    one = driven(0)
    short = many(lambda n: (one[0][:1], one[1][:1]), 1)
    assert steps(short, [TURN, 0, 0]) == ()

"""Every fact has the value that was planted, and clean data have none of the faults."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.datasets.inspection.facts.angles import wrap_period
from kinoise.datasets.inspection.facts.history import find_history, motion_steps
from kinoise.datasets.inspection.facts.meaning import displacement, read_meaning
from kinoise.datasets.inspection.facts.modes import find_modes
from kinoise.datasets.inspection.facts.neighbours import nearest
from kinoise.datasets.inspection.facts.pauses import find_pauses
from kinoise.datasets.inspection.facts.ranges import Column, columns_of
from kinoise.datasets.inspection.facts.regression import squared_errors
from kinoise.datasets.inspection.facts.relations import find_relations
from kinoise.datasets.inspection.facts.sample import Sample
from kinoise.datasets.inspection.facts.starts import find_starts

from .planted import Episode, many, reach, sample


def idle(number: int, *, start: int = 0, within: int = 0, end: int = 0) -> Episode:
    """Return a reach that stands still for some steps."""
    obs, action = reach(number, relative=True)
    still = np.zeros((1, 2))
    rests = [(obs[:1], start), (obs[20:21], within), (obs[-1:], end)]
    waits = [np.repeat(place, count, axis=0) for place, count in rests]
    nothing = [np.repeat(still, count, axis=0) for _, count in rests]
    return (
        np.concatenate([waits[0], obs[:20], waits[1], obs[20:], waits[2]]),
        np.concatenate([nothing[0], action[:20], nothing[1], action[20:], nothing[2]]),
    )


def hidden_velocity(number: int) -> Episode:
    """Return a place that turns back and forth; the action is its velocity, which is not seen."""
    time = np.arange(60) + 17 * number
    obs = np.stack([np.sin(time / 5), np.zeros(60)], axis=1)
    return obs, np.cos(time / 5)[:, None] / 5


def test_nothing_idles_where_nothing_stands_still() -> None:
    data = many(lambda n: reach(n, length=20, relative=True))
    assert find_pauses(data, read_meaning(data, None)).n_segments == 0


@pytest.mark.parametrize("relative", [True, False])
def test_idle_segments_are_counted_where_they_are(relative: bool) -> None:
    def make(number: int) -> Episode:
        obs, action = idle(number, start=8, within=6, end=10)
        return obs, action if relative else obs + action

    data = many(make, 10)
    pauses = find_pauses(data, read_meaning(data, None))
    assert (pauses.at_start, pauses.within, pauses.at_end) == (10, 10, 10)
    assert pauses.steps_at_start == 80
    # The step on which an absolute command comes to rest still changes it.
    assert pauses.longest == (10 if relative else 9)
    assert pauses.share == pytest.approx(24 / 64, abs=0.05)


def test_pushing_against_a_wall_is_not_idle() -> None:
    obs = np.concatenate([np.linspace(0, 1, 30), np.ones(10)])[:, None]
    action = np.full((40, 1), 1 / 29)
    data = sample([(obs, action)] * 3)
    assert find_pauses(data, read_meaning(data, "relative")).n_segments == 0


def test_actions_that_name_the_next_place_are_absolute_and_steps_are_relative() -> None:
    for relative, name in ((False, "absolute"), (True, "relative")):
        data = many(partial(reach, relative=relative))
        meaning = read_meaning(data, None)
        assert meaning.found == name
        assert [reading.column for reading in meaning.readings] == [0, 1]
        assert not meaning.contradicted
        other = {"absolute": "relative", "relative": "absolute"}[name]
        assert read_meaning(data, other).contradicted


def test_a_velocity_that_is_observed_does_not_make_a_relative_action_absolute() -> None:
    def make(number: int) -> Episode:
        obs, action = reach(number, relative=True)
        before = np.concatenate([np.zeros((1, 2)), action[:-1]])
        return np.concatenate([obs, before], axis=1), action

    assert read_meaning(many(make), None).found == "relative"


def test_actions_that_nothing_follows_are_unclear() -> None:
    generator = np.random.default_rng(0)
    data = many(lambda n: (generator.normal(size=(30, 3)), generator.normal(size=(30, 2))))
    assert read_meaning(data, None).found == "unclear"
    assert read_meaning(data, "relative").prevailing == "relative"


def test_displacements_are_the_same_however_the_action_is_written() -> None:
    parts = []
    for relative in (True, False):
        data = many(partial(reach, relative=relative))
        parts.append(displacement(data, read_meaning(data, None), 5))
    np.testing.assert_allclose(parts[0], parts[1], atol=1e-12)


def test_one_way_to_act_is_one_mode() -> None:
    data = many(lambda n: reach(n, relative=True), 60)
    modes = find_modes(data, read_meaning(data, None), 1)
    assert modes is not None
    assert modes.unexplained < 0.02
    assert modes.split == 0


def test_two_ways_to_act_are_two_modes() -> None:
    data = many(lambda n: reach(n, relative=True, side=0.05 * (-1) ** n), 60)
    modes = find_modes(data, read_meaning(data, None), 1)
    assert modes is not None
    assert modes.unexplained > 0.1
    assert modes.split > 0.1


def test_noise_is_unexplained_but_not_two_ways() -> None:
    def make(number: int) -> Episode:
        obs, action = reach(number, relative=True)
        return obs, action + np.random.default_rng(number).normal(size=action.shape) * 0.1

    data = many(make, 60)
    modes = find_modes(data, read_meaning(data, "relative"), 1)
    assert modes is not None
    assert modes.unexplained > 0.4
    assert modes.split < 0.04


def test_a_hidden_velocity_shows_in_the_history() -> None:
    data = many(hidden_velocity, 20)
    history = find_history(data, read_meaning(data, "relative"))
    assert history is not None
    assert history.unexplained[1] > 0.5
    assert history.unexplained[2] < 0.05
    assert history.best == 2


def test_markov_data_need_one_observation() -> None:
    data = many(lambda n: reach(n, relative=True))
    history = find_history(data, read_meaning(data, None))
    assert history is not None
    assert history.best == 1
    assert history.unexplained[1] < 0.05
    assert history.reach == 32


def test_noise_cannot_be_foreseen() -> None:
    generator = np.random.default_rng(0)
    data = many(lambda n: (generator.normal(size=(60, 2)), generator.normal(size=(60, 2))))
    history = find_history(data, read_meaning(data, "relative"))
    assert history is not None
    assert max(history.ahead.values()) < 0.1
    assert history.best == 1
    assert motion_steps(data, read_meaning(data, "relative")) == 1


def test_the_motion_forgets_itself_after_the_time_that_was_planted() -> None:
    def make(number: int) -> Episode:
        generator = np.random.default_rng(number)
        action = np.zeros((400, 1))
        for t in range(1, 400):
            action[t] = np.exp(-1 / 6) * action[t - 1] + generator.normal()
        return np.zeros((400, 1)), action

    data = many(make, 20)
    assert motion_steps(data, read_meaning(data, "relative")) == pytest.approx(6, abs=1)


def described(values: NDArray[np.float64]) -> Column:
    """Return the column of an action [N]."""
    (column,) = columns_of(sample([(values[:, None], values[:, None])]))[1]
    return column


def test_a_normal_and_a_heavy_tailed_column_are_no_slivers() -> None:
    generator = np.random.default_rng(0)
    for values in (generator.normal(size=25_000), generator.laplace(size=25_000)):
        column = described(values)
        assert not column.sliver
        assert not column.constant
        assert not column.rare
        assert column.saturated == 0
        assert column.period == 0


def test_outliers_make_a_sliver_of_the_rest() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    values[[7, 4000]] = [100, -80]
    column = described(values)
    assert column.sliver
    assert column.filling < 0.05


def test_clipped_actions_are_saturated_and_switches_are_not() -> None:
    values = np.clip(np.random.default_rng(0).normal(size=5000), -1, 1)
    column = described(values)
    assert column.saturated == pytest.approx(0.32, abs=0.03)
    column = described(np.sign(values))
    assert column.switch
    assert column.saturated == 0


def test_a_column_that_hardly_moves_is_rare_and_one_that_never_does_is_constant() -> None:
    values = np.zeros(5000)
    column = described(values)
    assert column.constant
    values[:10] = np.linspace(0.1, 1, 10)
    column = described(values)
    assert column.rare
    assert not column.sliver


@pytest.mark.parametrize("period", [2 * np.pi, 360.0])
@pytest.mark.parametrize("speed", [0.01, 0.06])
def test_an_angle_wraps_however_often_it_does(period: float, speed: float) -> None:
    turns = speed * np.arange(1000)
    for values in (turns % 1 * period, (turns % 1 - 0.5) * period):
        assert wrap_period(values, np.array([500, 1000])) == period


def test_noise_jumps_and_resets_are_no_angles() -> None:
    generator = np.random.default_rng(0)
    ends = np.array([500, 1000])
    noise = generator.uniform(-np.pi, np.pi, 1000)
    jump = np.concatenate([np.linspace(0, 1, 500), np.linspace(5.9, 7, 500)])
    reset = np.concatenate([np.linspace(0, 6.2, 500), np.linspace(0, 6.2, 500)])
    for values in (noise, jump, reset):
        assert wrap_period(values, ends) == 0


def test_starts_that_are_the_same_count_once() -> None:
    apart = find_starts(many(reach))
    assert apart is not None
    assert apart.n == 40
    assert apart.distinct >= 35
    assert apart.varied == 2
    twins = find_starts(many(lambda n: reach(n % 5)))
    assert twins is not None
    assert twins.distinct == 5
    assert twins.spacing == 0


def test_copies_constants_and_combinations_are_told() -> None:
    def make(number: int) -> Episode:
        obs, action = reach(number)
        more = [obs[:, :1] * 2 + 1, obs[:, :1] - obs[:, 1:], np.ones((40, 1))]
        return np.concatenate([obs, *more], axis=1), action

    found = find_relations(many(make))
    assert found.n_columns == 5
    assert found.constant == 1
    assert found.copies == (("state[2]", "state[0]"),)
    assert found.independent == 2


def test_neighbours_are_of_other_groups_one_of_each_and_nearest_first() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(90, 3))
    groups = np.repeat(np.arange(9), 10)
    found, squares = nearest(points, points, 4, query_groups=groups, point_groups=groups)
    exact = ((points[:, None] - points) ** 2).sum(-1)
    for row in range(90):
        least = [exact[row, groups == g].min() if g != groups[row] else np.inf for g in range(9)]
        np.testing.assert_allclose(squares[row], np.sort(least)[:4], atol=1e-9)
        np.testing.assert_allclose(exact[row, found[row]], squares[row], atol=1e-9)
        assert len(set(groups[found[row]]) | {groups[row]}) == 5


def test_a_regression_is_judged_on_groups_that_it_has_not_seen() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 30)
    inputs = generator.normal(size=(600, 2))
    smooth = np.sin(2 * inputs[:, :1])
    assert squared_errors(inputs, smooth, groups).mean() < 0.05
    # Known to each group alone: nothing that another group could teach.
    private = generator.normal(size=20)[groups][:, None]
    label = np.eye(20)[groups]
    assert squared_errors(label, private, groups).mean() > 0.5 * private.var()


@pytest.mark.parametrize("kind", ["constant", "one episode", "five steps", "no observation"])
def test_hostile_data_have_facts_too(kind: str) -> None:
    data: Sample = {
        "constant": many(lambda n: (np.ones((20, 3)), np.ones((20, 2)))),
        "one episode": many(reach, 1),
        "five steps": sample([tuple(part[:5] for part in reach(0))]),  # type: ignore[list-item]
        "no observation": many(lambda n: (np.zeros((20, 0)), reach(n, length=20)[1])),
    }[kind]
    meaning = read_meaning(data, None)
    find_pauses(data, meaning)
    find_relations(data)
    columns_of(data)
    assert motion_steps(data, meaning) >= 1
    assert kind != "one episode" or find_modes(data, meaning, 1) is None
    assert find_starts(data) is None or kind == "constant"
    assert find_history(data, meaning) is None

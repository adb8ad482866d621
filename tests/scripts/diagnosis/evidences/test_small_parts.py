"""Parts of evidence with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from kinoise.scripts.diagnosis.evidences.idle import _still
from kinoise.scripts.diagnosis.evidences.order import _best_order
from kinoise.scripts.diagnosis.evidences.ranges import _sliver
from kinoise.scripts.diagnosis.evidences.saturation import _at_edges, _outside
from kinoise.scripts.diagnosis.evidences.starts import gap
from kinoise.scripts.diagnosis.evidences.switching import two_ways


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, (a): 56 of 70 less 48 of 80.
    assert gap(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_plans_of_two_ways_fall_in_two_groups_and_those_of_one_do_not() -> None:
    rng = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(200):
        one = rng.normal(size=(12, 4, 2))
        false_alarms += two_ways(one) is not None
        two = 0.1 * rng.normal(size=(12, 4, 2))
        two[:5] += 1.5
        group = two_ways(two)
        assert group is not None
        assert len(set(group[:5])) == 1
        assert len(set(group[5:])) == 1
        assert group[0] != group[5]
    assert false_alarms == 0
    assert two_ways(np.zeros((12, 4, 2))) is None


def test_plans_that_differ_little_are_one_group_however_clear_the_cut() -> None:
    plans = np.zeros((12, 4, 2))
    plans[:6] = 0.01
    assert two_ways(plans) is None


def test_the_order_of_entries_is_found_and_entries_that_fit_stay() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(12, 4)) + np.array([0, 3, 6, 9])
    there = data[:, [2, 3, 0, 1]]
    cost = np.abs(data[:, :, None] - there[:, None, :]).mean(0)
    assert _best_order(cost).tolist() == [2, 3, 0, 1]
    same = np.abs(data[:, :, None] - data[:, None, :]).mean(0)
    assert _best_order(same).tolist() == [0, 1, 2, 3]


def test_outliers_leave_a_sliver_and_switches_do_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5000, 3))
    values[0, 1] = 1000.0
    values[:, 2] = np.arange(5000) == 7
    sliver = _sliver(values)
    assert sliver[0] > 0.5
    assert sliver[1] < 0.02
    assert sliver[2] == 1


def test_actions_beyond_the_limits_are_counted_by_step() -> None:
    action = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, -1.001], [0.0, -3.0]])
    assert _outside(action, np.array([-1.0, -1.0]), np.array([1.0, 1.0])) == 0.5
    assert _outside(action, np.array([-np.inf, -5.0]), np.array([np.inf, 5.0])) == 0


def test_a_gripper_at_its_two_ends_is_not_saturated_and_a_clipped_motion_is() -> None:
    rng = np.random.default_rng(0)
    gripper = rng.choice([-1.0, 1.0], size=(500, 1))
    assert _at_edges(gripper).effect == 0
    assert _at_edges(np.clip(5 * rng.normal(size=(500, 1)), -1, 1)).effect > 0.9
    assert _at_edges(rng.normal(size=(500, 1))).effect == 0


def test_only_long_still_stretches_count() -> None:
    path = np.concatenate([np.arange(10.0), np.full(10, 9.0), 9 + np.arange(1.0, 3)])[:, None]
    assert _still(path, usual=1.0, least=4) == pytest.approx(10 / 21)
    assert _still(path, usual=1.0, least=12) == 0

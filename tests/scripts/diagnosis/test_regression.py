from __future__ import annotations

import numpy as np
import pytest

from kinoise.scripts.diagnosis.regression import (
    explained,
    left_out_residuals,
    neighbours,
    ratio_interval,
    thinned,
)


def test_neighbours_are_those_of_brute_force_and_never_of_the_own_episode() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 3))
    group = np.repeat(np.arange(30), 10)
    rows, distances = neighbours(points, points, query_group=group, reference_group=group, k=4)
    every = np.linalg.norm(points[:, None] - points, axis=2)
    every[group[:, None] == group] = np.inf
    assert np.allclose(distances, np.sort(every, 1)[:, :4], atol=1e-6)
    assert (group[rows] != group[:, None]).all()


def test_a_linear_law_leaves_nothing_on_episodes_that_were_left_out() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 5))
    y = x @ rng.normal(size=(5, 2)) + 3.0
    group = np.repeat(np.arange(20), 20)
    left = left_out_residuals(x, y, group)
    assert np.square(left).mean() < 1e-3 * y.var()
    assert explained(y - y.mean(0), left).min() > 0.999


def test_noise_is_explained_by_nothing() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(400, 1))
    left = left_out_residuals(rng.normal(size=(400, 5)), y, np.repeat(np.arange(20), 20))
    assert explained(y, left)[0] < 0.02


def test_the_interval_of_a_ratio_of_errors_holds_the_truth() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(50), 10)
    covered = 0
    for _ in range(40):
        above = np.square(2 * rng.normal(size=500))
        below = np.square(rng.normal(size=500))
        estimate, low, high = ratio_interval(above, below, group, group)
        assert low <= estimate <= high
        covered += low <= 2 <= high
    assert covered >= 34


def test_thinned_rows_are_spread_evenly() -> None:
    assert thinned(3, 10).tolist() == [0, 1, 2]
    assert thinned(101, 3).tolist() == [0, 50, 100]
    assert len(thinned(10**6, 7)) == pytest.approx(7)

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoise.envs.errors import EnvError
from kinoise.envs.intervals import (
    compare_means,
    compare_rates,
    mean_interval,
    wilson_interval,
)

Draw = Callable[[np.random.Generator, int], Any]

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_the_wilson_interval_solves_the_score_equation(count: tuple[int, int]) -> None:
    successes, n = count
    interval = wilson_interval(successes, n)
    z = 1.959963984540054
    for edge in (interval.low, interval.high):
        error = abs(interval.estimate - edge) - z * math.sqrt(edge * (1 - edge) / n)
        assert abs(error) < 1e-9


def test_the_wilson_interval_matches_a_known_value() -> None:
    interval = wilson_interval(95, 100)
    assert interval.low == pytest.approx(0.8882495, abs=1e-6)
    assert interval.high == pytest.approx(0.9784563, abs=1e-6)


@pytest.mark.parametrize("n", [3, 10, 40])
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.98])
def test_the_mean_interval_of_successes_covers_their_rate_as_often_as_it_says(
    n: int, rate: float
) -> None:
    # Exactly: the chance of each number of successes whose interval holds the rate.
    covered = 0.0
    for k in range(n + 1):
        interval = mean_interval([0.0] * (n - k) + [1.0] * k, n_draws=4000)
        if interval.low <= rate <= interval.high:
            covered += math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
    assert covered >= 0.95 - 0.002


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.random(n),
        lambda rng, n: rng.beta(8, 0.5, n),  # scores that pile up at 1
        lambda rng, n: np.where(rng.random(n) < 0.9, 1.0, rng.random(n)),
        lambda rng, n: np.where(rng.random(n) < 0.97, 0.95, 0.0),  # nearly constant
    ],
)
@pytest.mark.parametrize("n", [4, 10, 60])
def test_the_mean_interval_covers_the_mean_of_scores(draw: Draw, n: int) -> None:
    truth = float(np.mean(draw(np.random.default_rng(1), 400_000)))
    rng = np.random.default_rng(0)
    intervals = [mean_interval(draw(rng, n), n_draws=800) for _ in range(200)]
    covered = np.mean([one.low <= truth <= one.high for one in intervals])
    # Three standard errors of 200 draws below .95.
    assert covered >= 0.904


def test_the_mean_interval_of_successes_is_clopper_and_pearsons() -> None:
    beta = pytest.importorskip("scipy.stats").beta
    for k, n in ((9, 10), (0, 5), (95, 100)):
        interval = mean_interval([1.0] * k + [0.0] * (n - k), n_draws=100_000)
        low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.975, k + 1, n - k)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=2e-3)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.9, 1.0])
def test_a_constant_sample_is_not_certain(value: float) -> None:
    widths = []
    for n in (1, 5, 10, 100):
        interval = mean_interval(np.full(n, value))
        assert interval.low <= value <= interval.high
        widths.append(interval.high - interval.low)
    assert all(late < early for early, late in pairwise(widths))
    assert widths[-1] > 0.01


def test_the_mean_interval_is_tight_at_a_hundred_episodes() -> None:
    scores = np.random.default_rng(0).beta(8, 1, 100)
    interval = mean_interval(scores)
    normal = 2 * 1.96 * scores.std(ddof=1) / math.sqrt(len(scores))
    assert interval.high - interval.low < 1.6 * normal


def test_the_mean_interval_stays_within_the_bounds_and_is_always_the_same() -> None:
    scores = [0.0] + 40 * [1.0]
    interval = mean_interval(scores)
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert interval == mean_interval(scores[::-1])
    wide = mean_interval([20.0 * score - 10 for score in scores], bounds=(-10.0, 10.0))
    assert (wide.low, wide.high) == pytest.approx((20 * interval.low - 10, 20 * interval.high - 10))


def test_values_beyond_the_bounds_are_refused() -> None:
    with pytest.raises(EnvError, match="between 0 and 1"):
        mean_interval([0.5, 1.5])
    with pytest.raises(EnvError, match="confidence"):
        mean_interval([0.5], confidence=1.5)


def test_equal_policies_are_not_ranked() -> None:
    solved = np.arange(100) % 7 > 0
    comparison = compare_rates(solved, solved)
    assert comparison.p_value == 1.0
    assert comparison.better is None
    assert comparison.difference.low < 0 < comparison.difference.high


def test_mcnemar_matches_a_known_value() -> None:
    a = np.array(12 * [True] + 2 * [False] + 86 * [True])
    b = np.array(12 * [False] + 2 * [True] + 86 * [True])
    comparison = compare_rates(a, b)
    # 2 P(X <= 2) for X binomial (14, 1/2).
    assert comparison.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert comparison.better == "A"
    assert compare_rates(b, a).better == "B"


def test_the_interval_of_a_rate_difference_covers_it() -> None:
    rng = np.random.default_rng(1)
    n, only_a, only_b = 60, 0.25, 0.10
    covered = 0
    for _ in range(400):
        draw = rng.random(n)
        a, b = draw < only_a, (draw >= only_a) & (draw < only_a + only_b)
        difference = compare_rates(a, b).difference
        covered += difference.low <= only_a - only_b <= difference.high
    assert covered / 400 >= 0.95


def test_rate_intervals_shrink_with_more_episodes() -> None:
    widths = []
    for n in (20, 80, 320):
        a, b = np.arange(n) % 4 > 0, np.arange(n) % 5 > 0
        difference = compare_rates(a, b).difference
        widths.append(difference.high - difference.low)
    assert all(late < early for early, late in pairwise(widths))


@pytest.mark.parametrize("n", [8, 40])
def test_the_interval_of_a_mean_difference_covers_it_under_symmetry(n: int) -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        difference = compare_means(rng.normal(0.3, 1.0, n), np.zeros(n), n_resamples=999).difference
        covered += difference.low <= 0.3 <= difference.high
    assert 0.915 <= covered / 300 <= 0.985


def test_a_mean_difference_is_ranked_exactly_when_its_p_value_is_small() -> None:
    rng = np.random.default_rng(3)
    for shift in np.linspace(0, 1, 30):
        comparison = compare_means(rng.normal(shift, 1.0, 25), np.zeros(25))
        assert (comparison.better is not None) == (comparison.p_value <= 0.05)


def test_too_few_pairs_bound_nothing() -> None:
    difference = compare_means([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).difference
    assert (difference.low, difference.high) == (-math.inf, math.inf)


def test_unpaired_or_empty_results_are_refused() -> None:
    with pytest.raises(EnvError, match="same seeds"):
        compare_rates([True], [True, False])
    with pytest.raises(EnvError, match="non-empty"):
        mean_interval([])
    with pytest.raises(EnvError, match="finite"):
        compare_means([math.nan], [0.0])
    with pytest.raises(EnvError, match="successes"):
        wilson_interval(3, 2)


def test_a_mean_difference_ranks_the_means_of_all_subsets() -> None:
    """Few enough pairs for every subset to be counted (the test's exact distribution)."""
    a = [0.9, 0.8, 0.75, 0.3, 0.62]
    b = [0.1, 0.85, 0.5, 0.2, 0.0]
    differences = np.subtract(a, b)
    means = sorted(
        float(np.mean(chosen)) for size in range(1, 6) for chosen in combinations(differences, size)
    )
    assert len(means) == 31
    found = compare_means(a, b, confidence=0.5)
    # A quarter of 32 places on either side.
    assert found.difference.low == pytest.approx(means[7])
    assert found.difference.high == pytest.approx(means[-8])
    below = sum(mean <= 0 for mean in means)
    assert found.p_value == pytest.approx(2 * (1 + below) / 32)


def test_the_interval_of_a_rate_difference_is_two_of_clopper_and_pearsons() -> None:
    """Of 5 % error, four fifths go to the share of the discordant pairs, a fifth to their rate."""
    beta = pytest.importorskip("scipy.stats").beta

    def exact(k: int, n: int, error: float) -> tuple[float, float]:
        return beta.ppf(error / 2, k, n - k + 1), beta.ppf(1 - error / 2, k + 1, n - k)

    a = np.array(12 * [True] + 2 * [False] + 86 * [True])
    b = np.array(12 * [False] + 2 * [True] + 86 * [True])
    share = exact(12, 14, 0.8 * 0.05)
    rate = exact(14, 100, 0.2 * 0.05)
    found = compare_rates(a, b).difference
    assert found.low == pytest.approx((2 * share[0] - 1) * rate[0], abs=1e-9)
    assert found.high == pytest.approx((2 * share[1] - 1) * rate[1], abs=1e-9)


def test_no_policy_is_better_while_the_interval_holds_zero() -> None:
    a = np.array(3 * [True] + 1 * [False] + 20 * [True])
    b = np.array(3 * [False] + 1 * [True] + 20 * [True])
    found = compare_rates(a, b)
    assert found.difference.estimate > 0 > found.difference.low
    assert found.better is None
    assert compare_rates(b, a).better is None

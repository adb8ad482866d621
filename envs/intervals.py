"""Intervals on rates and means over episodes, and the paired comparison of two policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import EnvError


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: from the n values.
        low: lower end.
        high: upper end.
        n: values it is made of.
        confidence: chance that low ... high holds the truth.
    """

    estimate: float
    low: float
    high: float
    n: int
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


@dataclass(frozen=True)
class Comparison:
    """Policy A against policy B on the same seeds.

    Attributes:
        difference: mean of A minus B with its interval.
        p_value: two-sided and exact; the chance of a difference at least this large under no
            difference.
        better: "A", "B", or None where the interval holds zero and no ranking is justified.
    """

    difference: Interval
    p_value: float
    better: str | None

    def __str__(self) -> str:
        verdict = f"{self.better} is better" if self.better else "no difference shown"
        return f"A - B = {self.difference}, p = {self.p_value:.3g}: {verdict}"


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the success rate with its score interval (Wilson 1927).

    Raises:
        EnvError: no trials, or counts that cannot be.
    """
    if n < 1 or not 0 <= successes <= n:
        raise EnvError(f"a rate needs 0 <= successes <= n and n > 0; got {successes} of {n}")
    z = _normal_quantile(confidence)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(rate, low, high, n, confidence)


def mean_interval(
    values: ArrayLike,
    confidence: float = 0.95,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    n_draws: int = 10_000,
) -> Interval:
    """Return the mean of bounded values `[n]` with Gaffke's interval.

    Weights w_0 ... w_n are drawn uniformly from the simplex. The lower end is a low quantile of
    w_1 x_1 + ... + w_n x_n + w_0 low: one more value is assumed, the worst that can be. The upper
    end is a high quantile with the best one (Gaffke 2005; Learned-Miller & Thomas 2019). For
    successes and failures this is the interval of Clopper & Pearson 1934. No distribution is known
    for which it covers less often than it says, while a bootstrap calls a sample of equal values
    certain.

    Args:
        values: the sample.
        confidence: chance that the interval holds the true mean.
        bounds: between which all values must lie, by their nature and not by this sample.
        n_draws: random weights; from a fixed seed, so that the same values always give the same
            interval.

    Raises:
        EnvError: no values, values beyond the bounds, or a confidence that is none.
    """
    sample = np.sort(_sample(values))
    low, high = bounds
    if not low < high or sample[0] < low or sample[-1] > high:
        raise EnvError(
            f"the values must lie between {low:g} and {high:g}; they reach from {sample[0]:g} to "
            f"{sample[-1]:g}"
        )
    tail = (1 - _checked(confidence)) / 2
    weighted, spare = _simplex_means(sample, n_draws)
    lower = np.quantile(weighted + spare * low, tail)
    upper = np.quantile(weighted + spare * high, 1 - tail)
    return Interval(float(sample.mean()), float(lower), float(upper), len(sample), confidence)


def compare_rates(
    a: Sequence[bool] | NDArray[np.bool_],
    b: Sequence[bool] | NDArray[np.bool_],
    confidence: float = 0.95,
) -> Comparison:
    """Compare success of A and B, each [n] on the same seeds in the same order.

    The p value is McNemar's exact one: under no difference, each pair that disagrees is a fair
    coin. The difference is (rate of disagreement) x (2 x share won by A - 1); the interval joins
    exact binomial intervals (Clopper & Pearson 1934) of the two, a fifth of the error spent on
    the first and the rest on the second, so that its coverage is guaranteed at every n.
    """
    first = np.asarray(a, bool)
    second = np.asarray(b, bool)
    _check_paired(first, second)
    n = len(first)
    only_a = int((first & ~second).sum())
    only_b = int((~first & second).sum())
    discordant = only_a + only_b
    p_value = min(1.0, 2 * _binomial_cdf(min(only_a, only_b), discordant, 0.5))
    error = 1 - confidence
    share = [2 * edge - 1 for edge in _clopper_pearson(only_a, discordant, 0.8 * error)]
    rate_low, rate_high = _clopper_pearson(discordant, n, 0.2 * error)
    low = share[0] * (rate_low if share[0] > 0 else rate_high)
    high = share[1] * (rate_high if share[1] > 0 else rate_low)
    return _comparison(Interval((only_a - only_b) / n, low, high, n, confidence), p_value)


def compare_means(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, *, n_resamples: int = 10_000
) -> Comparison:
    """Compare scores of A and B, each [n] on the same seeds in the same order.

    The means of random subsets of the paired differences fall on either side of their true centre
    as fair coins would, if the differences are symmetric about it (Hartigan 1969, "typical
    values"), as they are when A and B are equally good. Their quantiles are the interval, and the
    share of them beyond zero the p value: those of a sign-flip test. Fewer than six differences
    cannot bound anything at 95 %; the interval is then infinite.
    """
    first = _sample(a)
    second = _sample(b)
    _check_paired(first, second)
    differences = first - second
    n = len(differences)
    means = np.sort(_subset_means(differences, n_resamples))
    places = len(means) + 1
    beyond = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    rank = math.floor((1 - confidence) / 2 * places)
    low, high = (means[rank - 1], means[-rank]) if rank else (-math.inf, math.inf)
    interval = Interval(float(differences.mean()), float(low), float(high), n, confidence)
    return _comparison(interval, min(1.0, 2 * beyond / places))


def _comparison(difference: Interval, p_value: float) -> Comparison:
    better = "A" if difference.low > 0 else "B" if difference.high < 0 else None
    return Comparison(difference, p_value, better)


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0 or not np.isfinite(sample).all():
        raise EnvError("an interval needs a non-empty list of finite numbers")
    return sample


def _check_paired(a: NDArray[np.generic], b: NDArray[np.generic]) -> None:
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise EnvError(
            f"a paired comparison needs both policies on the same seeds; got {a.shape} and "
            f"{b.shape} episodes"
        )


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise EnvError(f"confidence lies between 0 and 1; got {confidence}")
    return confidence


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + _checked(confidence)) / 2)


def _simplex_means(
    sample: NDArray[np.float64], n_draws: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw weights `[n + 1]`, uniform on the simplex.

    Returns:
        The sample's sum weighed by the first n of them, and the last one; `[n_draws]` each.
    """
    rng = np.random.default_rng(0)
    weighted = []
    spare = []
    # In portions, so that memory does not grow with n.
    portion = max(1, min(n_draws, 1_000_000 // (len(sample) + 1)))
    for start in range(0, n_draws, portion):
        size = (min(portion, n_draws - start), len(sample) + 1)
        weights = rng.standard_exponential(size)
        weights /= weights.sum(axis=1, keepdims=True)
        weighted.append(weights[:, 1:] @ sample)
        spare.append(weights[:, 0])
    return np.concatenate(weighted), np.concatenate(spare)


def _subset_means(values: NDArray[np.float64], n_subsets: int) -> NDArray[np.float64]:
    """Return means of every non-empty subset, or of `n_subsets` random ones if those are more."""
    n = len(values)
    if 2**n - 1 <= n_subsets:
        members = np.arange(1, 2**n)[:, None] >> np.arange(n) & 1
    else:
        members = np.random.default_rng(0).integers(0, 2, (n_subsets, n))
        members = members[members.any(axis=1)]
    return np.asarray(members @ values / members.sum(axis=1))


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for X binomial (n, p)."""
    if k < 0:
        return 0.0
    if p in (0.0, 1.0):
        return 1.0 if p == 0.0 or k >= n else 0.0
    log_p = math.log(p)
    log_q = math.log1p(-p)
    terms = (math.log(math.comb(n, i)) + i * log_p + (n - i) * log_q for i in range(k + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _clopper_pearson(k: int, n: int, error: float) -> tuple[float, float]:
    """Return the exact interval of a binomial proportion; (0, 1) where n is 0."""
    tail = error / 2
    low = 0.0 if k == 0 else _bisect(lambda p: 1 - _binomial_cdf(k - 1, n, p) < tail)
    high = 1.0 if k == n else _bisect(lambda p: _binomial_cdf(k, n, p) >= tail)
    return low, high


def _bisect(holds: Callable[[float], bool], low: float = 0.0, high: float = 1.0) -> float:
    """Return where in [low, high] a predicate that holds at low stops holding."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2

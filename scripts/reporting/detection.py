"""How well a score tells two kinds of observations apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from kinoise.envs.intervals import Interval


def auroc(negative: ArrayLike, positive: ArrayLike) -> float:
    """Return the chance that a random positive scores above a random negative.

    The area under the receiver operating characteristic; a tie counts half (Mann & Whitney 1947).
    """
    low = np.sort(np.asarray(negative, float))
    high = np.asarray(positive, float)
    below = np.searchsorted(low, high, "left")
    tied = np.searchsorted(low, high, "right") - below
    return float((below + tied / 2).sum() / (len(low) * len(high)))


def auroc_interval(
    negative: NDArray[Any],
    positive: NDArray[Any],
    negative_episodes: NDArray[np.int64],
    positive_episodes: NDArray[np.int64],
    confidence: float = 0.95,
    *,
    n_resamples: int = 2000,
) -> Interval:
    """Return the AUROC of scores `[N]`, `[P]` with a percentile bootstrap interval over episodes.

    Observations of one episode resemble each other, so whole episodes are drawn; both kinds were
    made of the same ones and are drawn together. The seed is fixed.

    Args:
        negative_episodes: which episode a negative belongs to, numbers from 0 on, `[N]`.
        positive_episodes: the same of the positives, `[P]`.
    """
    from kinoise.envs.intervals import Interval

    n = 1 + int(max(negative_episodes.max(), positive_episodes.max()))
    above = (positive[None] > negative[:, None]) + (positive[None] == negative[:, None]) / 2
    of_negative = np.eye(n)[negative_episodes]
    of_positive = np.eye(n)[positive_episodes]
    # [n, n] wins and pairs of every two episodes; a resample weighs them.
    wins = of_negative.T @ above @ of_positive
    pairs = np.outer(of_negative.sum(0), of_positive.sum(0))
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    total = ((weights @ pairs) * weights).sum(1)
    drawn = ((weights @ wins) * weights).sum(1)[total > 0] / total[total > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
    return Interval(auroc(negative, positive), low, high, n, confidence)

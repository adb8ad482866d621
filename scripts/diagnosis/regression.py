"""Small regressions by which observations and actions are compared: neighbours and ridge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Neighbours that are averaged.
N_NEIGHBOURS = 5
#: Rows that are looked up at once.
BLOCK = 256
#: Rows that are looked among.
MOST_REFERENCE = 20_000
#: Parts in which episodes are divided for cross-validation.
FOLDS = 4
RIDGE = 1e-3


def neighbours(
    query: Array,
    reference: Array,
    *,
    query_group: NDArray[np.int64] | None = None,
    reference_group: NDArray[np.int64] | None = None,
    k: int = N_NEIGHBOURS,
) -> tuple[NDArray[np.int64], Array]:
    """Return the rows `[Q, k]` of the nearest references and their distances `[Q, k]`.

    Args:
        query: `[Q, D]`.
        reference: `[R, D]`.
        query_group: `[Q]`; references of the same group, the same episode, are left out.
        reference_group: `[R]`.
        k: how many; fewer where there are fewer references.
    """
    k = min(k, len(reference))
    squares = np.square(reference).sum(1)
    rows = []
    distances = []
    for begin in range(0, len(query), BLOCK):
        part = query[begin : begin + BLOCK]
        square = np.square(part).sum(1)[:, None] + squares - 2 * part @ reference.T
        if query_group is not None and reference_group is not None:
            same = query_group[begin : begin + BLOCK, None] == reference_group
            square[same] = np.inf
        nearest = np.argpartition(square, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(square, nearest, 1)
        order = np.argsort(found, axis=1)
        rows.append(np.take_along_axis(nearest, order, 1))
        distances.append(np.sqrt(np.maximum(np.take_along_axis(found, order, 1), 0)))
    return np.concatenate(rows), np.concatenate(distances)


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` of `count` rows, evenly spaced."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fold `[N]` of each row; rows of one group, an episode, share theirs."""
    _, number = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(0).permutation(number.max(initial=0) + 1)
    return np.asarray(shuffled[number] % FOLDS)


def left_out_residuals(features: Array, targets: Array, groups: NDArray[np.int64]) -> Array:
    """Return the errors `[N, D]` of ridge regression on episodes that it was not fitted to.

    Args:
        features: `[N, P]`.
        targets: `[N, D]`.
        groups: episode of each row, `[N]`.
    """
    scale = features.std(0)
    kept = scale > 1e-9 * max(1.0, float(scale.max(initial=0.0)))
    scaled = (features[:, kept] - features[:, kept].mean(0)) / scale[kept]
    design = np.concatenate([scaled, np.ones((len(features), 1))], axis=1)
    fold = folds(groups)
    residuals = np.array(targets - targets.mean(0))
    penalty = RIDGE * np.eye(design.shape[1])
    for each in np.unique(fold):
        out = fold == each
        inside = design[~out]
        if len(inside) <= design.shape[1]:
            continue
        gram = inside.T @ inside / len(inside) + penalty
        weights = np.linalg.solve(gram, inside.T @ targets[~out] / len(inside))
        residuals[out] = targets[out] - design[out] @ weights
    return residuals


def explained(before: Array, after: Array) -> Array:
    """Return the part `[D]` of the residuals `before` that is gone in `after`, both `[N, D]`."""
    total = np.square(before).sum(0)
    return np.asarray(1 - np.square(after).sum(0) / np.maximum(total, 1e-300))


def ratio_interval(
    numerator: Array,
    denominator: Array,
    numerator_groups: NDArray[np.int64],
    denominator_groups: NDArray[np.int64],
    n_resamples: int = 500,
) -> tuple[float, float, float]:
    """Return a ratio of mean squares' roots with its bootstrap interval of 95 % over episodes.

    Args:
        numerator: squared errors `[N]`.
        denominator: squared errors `[M]`.
        numerator_groups: episode of each, `[N]`.
        denominator_groups: episode of each, `[M]`.
    """
    rng = np.random.default_rng(0)

    def draws(values: Array, groups: NDArray[np.int64]) -> Array:
        _, number = np.unique(groups, return_inverse=True)
        sums = np.bincount(number, values)
        counts = np.bincount(number)
        picked = rng.integers(0, len(sums), (n_resamples, len(sums)))
        return np.asarray(sums[picked].sum(1) / counts[picked].sum(1))

    above = draws(numerator, numerator_groups)
    below = draws(denominator, denominator_groups)
    ratios = np.sqrt(above / np.maximum(below, 1e-300))
    low, high = np.quantile(ratios, [0.025, 0.975]).tolist()
    estimate = float(np.sqrt(numerator.mean() / max(float(denominator.mean()), 1e-300)))
    return estimate, low, high

"""Statistics of an episode and of a data set, as LeRobot's `stats.json` holds them.

Numbers are counted exactly; their quantiles, and all figures of pictures, come from rows spread
evenly over the episode. Quantiles of a data set are the means of its episodes', weighted by their
length, as LeRobot's own `aggregate_stats` has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Column

Figures = dict[str, NDArray[Any]]

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
QUANTILE_NAMES = tuple(f"q{round(100 * share):02d}" for share in QUANTILES)
MOST_ROWS = 1024
MOST_NUMBERS = 1 << 22
MOST_PICTURES = 64
LARGEST_SIDE = 150


class Statistics:
    """The figures of one column over one episode, gathered piece by piece."""

    def __init__(self, column: Column, length: int) -> None:
        """Prepare for an episode of `length` rows."""
        self._picture = column.kind != "number"
        self._shape = (column.shape[-1], 1, 1) if self._picture else column.stored
        width = int(np.prod(self._shape))
        most = MOST_PICTURES if self._picture else min(MOST_ROWS, max(1, MOST_NUMBERS // width))
        self._stride = -(-length // most)
        self._seen = 0
        self._exact: Figures | None = None
        self._sample: list[NDArray[np.float64]] = []

    def update(self, values: NDArray[Any]) -> None:
        """Take in the next rows [n, *shape]."""
        first = -self._seen % self._stride
        self._seen += len(values)
        chosen = values[first :: self._stride]
        if self._picture:
            if len(chosen):
                self._sample.append(_pixels(chosen))
            return
        flat = values.reshape(len(values), -1).astype(np.float64)
        self._sample.append(flat[first :: self._stride])
        figures = _figures(flat, len(flat))
        self._exact = figures if self._exact is None else merge(self._exact, figures)

    def figures(self) -> Figures:
        """Return the episode's figures: `count` has shape [1], the others that of the feature."""
        sample = np.concatenate(self._sample)
        exact = self._exact
        if exact is None:
            exact = _figures(sample, -(-self._seen // self._stride))
        quantiles = np.quantile(sample, QUANTILES, axis=0)
        found = {**exact, **dict(zip(QUANTILE_NAMES, quantiles, strict=True))}
        count = found.pop("count")
        return {**{name: each.reshape(self._shape) for name, each in found.items()}, "count": count}


def merge(one: Figures, other: Figures) -> Figures:
    """Return the figures of two parts together (Chan et al. 1983 for the variance)."""
    count = one["count"] + other["count"]
    share = other["count"] / count
    difference = other["mean"] - one["mean"]
    spread = (1 - share) * one["std"] ** 2 + share * other["std"] ** 2
    merged = {
        "min": np.minimum(one["min"], other["min"]),
        "max": np.maximum(one["max"], other["max"]),
        "mean": one["mean"] + share * difference,
        "std": np.sqrt(spread + share * (1 - share) * difference**2),
        "count": count,
    }
    for name in QUANTILE_NAMES:
        if name in one:
            merged[name] = (1 - share) * one[name] + share * other[name]
    return merged


def _figures(rows: NDArray[np.float64], count: int) -> Figures:
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([count], dtype=np.int64),
    }


def _pixels(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return pixels [n, c] in [0, 1], thinned out where the pictures are large."""
    thin = max(1, max(pictures.shape[1:3]) // LARGEST_SIDE)
    thinned = pictures[:, ::thin, ::thin]
    return thinned.reshape(-1, thinned.shape[-1]) / 255.0

"""Range, moments and quantiles of every key, in bounded memory and double precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError
from .keys import is_image
from .storage import ReplayBuffer

Statistics = dict[str, dict[str, NDArray[np.float64]]]

NAMES = ("min", "max", "mean", "std", "q01", "q99")
# Quantiles are exact up to this many numbers a key, then taken over evenly spaced rows.
QUANTILE_NUMBERS = 1 << 24


def compute_statistics(
    buffer: ReplayBuffer, keys: Sequence[str] | None = None, *, n_episodes: int | None = None
) -> Statistics:
    """Return `min, max, mean, std, q01, q99` of each key over all steps, float64.

    The shape is that of one step, `shape[1:]`; pictures [N, h, w, c] are taken per channel, [c].
    `std` divides by the number of steps (the population's) and is exactly 0 for a constant
    dimension, whose mean is then exactly its value.

    Args:
        buffer: The data set.
        keys: What to look at, every key if None.
        n_episodes: Use only this many episodes from the start, all if None.

    Raises:
        DatasetError: The data set is empty, or a key is unknown or damaged.
    """
    count = buffer.n_episodes if n_episodes is None else min(n_episodes, buffer.n_episodes)
    if count < 1:
        raise DatasetError(f"{buffer.path} holds no episode yet; collect or import some")
    n_steps = int(buffer.episode_ends[count - 1])
    return {key: _key_statistics(buffer, key, n_steps) for key in keys or buffer.keys}


def to_json(statistics: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Return nested lists, which JSON keeps to the last bit."""
    return {
        key: {name: np.asarray(values).tolist() for name, values in of_key.items()}
        for key, of_key in statistics.items()
    }


def from_json(loaded: Mapping[str, Mapping[str, Any]]) -> Statistics:
    """Undo `to_json`."""
    return {
        key: {name: np.asarray(values, dtype=np.float64) for name, values in of_key.items()}
        for key, of_key in loaded.items()
    }


class _Moments:
    """Count, mean and sum of squared deviations, merged block by block (Chan et al. 1983)."""

    def __init__(self, width: int) -> None:
        self.low = np.full(width, np.inf)
        self.high = np.full(width, -np.inf)
        self.mean = np.zeros(width)
        self.squares = np.zeros(width)
        self.count = 0

    def add(self, rows: NDArray[Any]) -> None:
        # One contiguous line per dimension: numpy reduces those many times faster than columns.
        lines = np.ascontiguousarray(rows.T, dtype=np.float64)
        self.low = np.minimum(self.low, lines.min(1))
        self.high = np.maximum(self.high, lines.max(1))
        mean = lines.mean(1)
        lines -= mean[:, None]
        shift = mean - self.mean
        total = self.count + len(rows)
        self.squares += np.einsum("ij,ij->i", lines, lines)
        self.squares += shift**2 * (self.count * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.count = total


def _key_statistics(buffer: ReplayBuffer, key: str, n_steps: int) -> dict[str, NDArray[np.float64]]:
    shape = buffer[key].shape
    kept = shape[-1:] if is_image(shape) else shape[1:]
    width = max(1, int(np.prod(kept)))
    total_rows = n_steps * int(np.prod(shape[1:])) // width
    stride = max(1, -(-total_rows * width // QUANTILE_NUMBERS))
    moments = _Moments(width)
    sample: list[NDArray[Any]] = []
    for rows in _flat_blocks(buffer, key, n_steps, width):
        # The stride goes on across blocks: the first row wanted here is the next multiple.
        sample.append(rows[-moments.count % stride :: stride].copy())
        moments.add(rows)
    q01, q99 = np.quantile(np.concatenate(sample).astype(np.float64), [0.01, 0.99], axis=0)
    constant = moments.low == moments.high
    flat = {
        "min": moments.low,
        "max": moments.high,
        "mean": np.where(constant, moments.low, moments.mean),
        "std": np.where(constant, 0.0, np.sqrt(moments.squares / moments.count)),
        "q01": q01,
        "q99": q99,
    }
    return {name: flat[name].reshape(kept) for name in NAMES}


def _flat_blocks(
    buffer: ReplayBuffer, key: str, n_steps: int, width: int
) -> Iterator[NDArray[Any]]:
    for _, rows in buffer.blocks(key, n_steps):
        yield rows.reshape(-1, width)

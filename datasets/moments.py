"""Range, mean, spread and quantiles of chosen episodes, in bounded memory and double precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError
from .keys import is_image
from .row_sample import RowSample
from .storage import ReplayBuffer
from .symmetry import SymmetryMap

Moments = dict[str, dict[str, NDArray[np.float64]]]

NAMES = ("min", "max", "mean", "std", "q01", "q99")
# Quantiles are exact up to this many numbers a key, then those of a random sample of the rows.
QUANTILE_NUMBERS = 1 << 24


def compute_moments(
    buffer: ReplayBuffer,
    keys: Sequence[str] | None = None,
    *,
    episodes: Sequence[int] | NDArray[np.int64] | None = None,
    symmetry: SymmetryMap | None = None,
) -> Moments:
    """Return `min, max, mean, std, q01, q99` of each key over the steps of some episodes, float64.

    The shape is that of one step, `shape[1:]`; pictures [N, h, w, c] are taken per channel, [c].
    `std` divides by the number of steps (the population's) and is exactly 0 for a constant
    dimension, whose mean is then exactly its value.

    A normaliser is fitted to the episodes that are trained on and no others: give it
    `episodes=loader.windows.episodes, symmetry=loader.symmetry`.

    Args:
        buffer: The data set.
        keys: What to look at, every key if None.
        episodes: Which episodes to look at, every one if None.
        symmetry: Look at the mirror images of these steps too.

    Raises:
        DatasetError: There is no episode to look at, or a key is unknown or damaged.
    """
    wanted = _rows_of(buffer, episodes)
    return {
        key: _moments_of(buffer, key, wanted, symmetry)
        for key in (buffer.keys if keys is None else keys)
    }


def stream_moments(blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Moments:
    """Return the moments of values that are streamed, as `compute_moments` does of a data set.

    Args:
        blocks: key -> values [n, *shape], the same keys and shapes in every block; a shape may be
            that of a whole chunk [H, Da], whose steps then have moments of their own.

    Raises:
        DatasetError: There is no value.
    """
    found: dict[str, _Accumulator] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for block in blocks:
        for key, values in block.items():
            rows = values.reshape(len(values), -1)
            shapes[key] = values.shape[1:]
            found.setdefault(key, _Accumulator(rows.shape[1])).add(rows)
    if not found:
        raise DatasetError("there are no values to take the moments of")
    return {
        key: {name: value.reshape(shapes[key]) for name, value in each.result().items()}
        for key, each in found.items()
    }


class _Accumulator:
    """Count, mean and sum of squared deviations, merged block by block (Chan et al. 1983)."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.low = np.full(width, np.inf)
        self.high = np.full(width, -np.inf)
        self.mean = np.zeros(width)
        self.squares = np.zeros(width)
        self.sample = RowSample(QUANTILE_NUMBERS // width)

    def add(self, rows: NDArray[Any]) -> None:
        """Take rows [n, width] in."""
        self.sample.add(rows)

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

    def result(self) -> dict[str, NDArray[np.float64]]:
        """Return the moments [width] of all rows together."""
        sample = self.sample.rows().astype(np.float64)
        q01, q99 = np.quantile(sample, [0.01, 0.99], axis=0)
        constant = self.low == self.high
        return {
            "min": self.low,
            "max": self.high,
            "mean": np.where(constant, self.low, self.mean),
            "std": np.where(constant, 0.0, np.sqrt(self.squares / self.count)),
            "q01": q01,
            "q99": q99,
        }


def _rows_of(
    buffer: ReplayBuffer, episodes: Sequence[int] | NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Mark the rows [n_steps] of these episodes."""
    chosen = range(buffer.n_episodes) if episodes is None else episodes
    if not len(chosen):
        raise DatasetError(
            f"{buffer.path} holds no episode yet, or none was chosen; collect or import some"
        )
    wanted = np.zeros(buffer.n_steps, dtype=np.bool_)
    for episode in chosen:
        wanted[slice(*buffer.bounds(int(episode)))] = True
    return wanted


def _moments_of(
    buffer: ReplayBuffer, key: str, wanted: NDArray[np.bool_], symmetry: SymmetryMap | None
) -> dict[str, NDArray[np.float64]]:
    shape = buffer[key].shape
    kept = shape[-1:] if is_image(shape) else shape[1:]
    width = max(1, int(np.prod(kept)))
    mirrored = symmetry is not None and key in symmetry.maps

    accumulator = _Accumulator(width)
    for steps in _blocks(buffer, key, wanted):
        accumulator.add(steps.reshape(-1, width))
        if symmetry is not None and mirrored:
            accumulator.add(symmetry.image(key, steps).reshape(-1, width))

    flat = accumulator.result()
    return {name: flat[name].reshape(kept) for name in NAMES}


def _blocks(buffer: ReplayBuffer, key: str, wanted: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
    """Yield the wanted steps chunk by chunk; chunks without any are not read."""
    length = buffer[key].chunks[0]
    for start in range(0, len(wanted), length):
        part = wanted[start : start + length]
        if part.any():
            yield buffer.read(key, start, start + len(part))[part]

"""The demonstrations as plain matrices: what evidence is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kinoise.datasets.storage import ReplayBuffer

Array = NDArray[np.float64]

#: Steps that are read; more are thinned by whole episodes.
MOST_STEPS = 40_000
#: Cells a side that a picture is averaged to.
CELLS = 4
#: A dimension whose spread is below this part of its own size, or of the largest of all, is
#: constant to single precision.
CONSTANT = 1e-6


@dataclass(frozen=True)
class Demonstrations:
    """Episodes one after another, N steps in all.

    Attributes:
        obs: `[N, Do]`, the observation before each action, all keys side by side.
        action: `[N, Da]`.
        ends: `[n_episodes]`, the row after each episode's last.
        seeds: `[n_episodes]`, of the environment's reset; -1 where it is unknown.
        episodes: `[n_episodes]`, their numbers in the data set.
        names: of the observation's dimensions, such as `ee_pos[2]`.
    """

    obs: Array
    action: Array
    ends: NDArray[np.int64]
    seeds: NDArray[np.int64]
    episodes: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def n_episodes(self) -> int:
        """How many episodes there are."""
        return len(self.ends)

    @property
    def begins(self) -> NDArray[np.int64]:
        """The first row of each episode."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    @property
    def episode_of(self) -> NDArray[np.int64]:
        """Position of the episode of each row, `[N]`."""
        return np.repeat(np.arange(self.n_episodes), self.ends - self.begins)

    @property
    def starts(self) -> Array:
        """The first observation of each episode, `[n_episodes, Do]`."""
        return self.obs[self.begins]

    def rows(self) -> Iterator[slice]:
        """Yield the rows of each episode."""
        for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True):
            yield slice(begin, end)

    def spread(self) -> Array:
        """Return the standard deviation `[Do]` of each observation; 1 where it is constant."""
        return spread_of(self.obs)


def spread_of(values: Array) -> Array:
    """Return the standard deviation `[D]` of the columns of `[N, D]`; 1 where one is constant."""
    std = values.std(0)
    size = np.abs(values).max(0, initial=0.0)
    floor = CONSTANT * np.maximum(size, size.max(initial=0.0) * CONSTANT)
    return np.where(std <= floor, 1.0, std)


def read(
    buffer: ReplayBuffer, keys: Sequence[str], episodes: Sequence[int] | NDArray[np.int64]
) -> Demonstrations:
    """Read the episodes' observations and actions, thinned evenly where they are many.

    Args:
        buffer: the data set.
        keys: observations, in this order.
        episodes: which ones.
    """
    chosen = np.asarray(episodes, np.int64)
    steps = sum(np.subtract(*buffer.bounds(int(e))[::-1]) for e in chosen)
    if steps > MOST_STEPS:
        count = max(2, int(len(chosen) * MOST_STEPS / steps))
        chosen = chosen[np.linspace(0, len(chosen) - 1, count).round().astype(int)]

    bounds = [buffer.bounds(int(e)) for e in chosen]
    obs = [flattened({key: buffer.read(key, *rows) for key in keys}, keys) for rows in bounds]
    action = [
        buffer.read("action", *rows).reshape(-1, buffer["action"].shape[1]) for rows in bounds
    ]
    shapes = {key: tuple(buffer[key].shape[1:]) for key in keys}
    return Demonstrations(
        obs=np.concatenate(obs),
        action=np.concatenate(action).astype(np.float64),
        ends=np.cumsum([stop - start for start, stop in bounds], dtype=np.int64),
        seeds=np.asarray(buffer.episode_seeds, np.int64)[chosen],
        episodes=chosen,
        names=dimension_names(shapes),
    )


def flattened(obs: Mapping[str, NDArray[Any]], keys: Sequence[str]) -> Array:
    """Return observations key -> `[T, ...]` as one matrix `[T, Do]`; pictures as a few cells."""
    columns = []
    for key in keys:
        values = np.asarray(obs[key])
        if values.ndim == 4:
            values = _cells(values)
        columns.append(values.reshape(len(values), -1).astype(np.float64))
    return np.concatenate(columns, axis=1)


def dimension_names(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the names of the columns that `flattened` gives."""
    names: list[str] = []
    for key, shape in shapes.items():
        size = CELLS * CELLS if len(shape) == 3 else int(np.prod(shape, dtype=int))
        names += [f"{key}[{i}]" for i in range(size)]
    return tuple(names)


def _cells(pictures: NDArray[Any]) -> Array:
    """Return pictures `[T, h, w, c]` as grey cells `[T, CELLS * CELLS]` in [0, 1]."""
    rows = np.array_split(np.arange(pictures.shape[1]), CELLS)
    columns = np.array_split(np.arange(pictures.shape[2]), CELLS)
    cells = [
        pictures[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean((1, 2, 3), dtype=np.float64)
        for r in rows
        for c in columns
    ]
    return np.stack(cells, axis=1) / 255.0

"""The steps that facts are computed from: numbers of whole episodes, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...keys import ACTION, is_image
from ...storage import ReplayBuffer

Numbers = NDArray[np.float64]

# Numbers held at once; 64 MB in double precision. Beyond it, evenly spaced episodes are taken.
MAX_NUMBERS = 1 << 23
# Wider keys (point clouds, depth as a vector) are no state observation and are left out.
MAX_WIDTH = 512
# Directions of the observations that neighbours and regressions look at.
MAX_DIRECTIONS = 32
# Ranges are those of the central 99 %, so that a single outlier does not set them.
TAILS = (0.005, 0.995)
# Scaled columns are clipped here, for the same reason.
MAX_SCALED = 4.0


@dataclass(frozen=True, eq=False)
class Sample:
    """Steps of whole episodes. N steps, E episodes, Do observed numbers, Da of an action.

    Attributes:
        obs: float64 [N, Do], every observed number side by side.
        action: float64 [N, Da].
        ends: int64 [E], the row after each episode's last.
        episodes: int64 [E], their numbers in the data set.
        obs_labels: Of the Do columns, "key[i]".
        action_labels: Of the Da columns.
        left_out: Keys that are not looked at: pictures, and what is wider than `MAX_WIDTH`.
    """

    obs: Numbers
    action: Numbers
    ends: NDArray[np.int64]
    episodes: NDArray[np.int64]
    obs_labels: tuple[str, ...]
    action_labels: tuple[str, ...]
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.action)

    @property
    def begins(self) -> NDArray[np.int64]:
        """int64 [E], the first row of each episode."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    @cached_property
    def episode_of(self) -> NDArray[np.int64]:
        """int64 [N], the place of each row's episode among those of the sample."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))

    @cached_property
    def scaled_obs(self) -> Numbers:
        """float64 [N, D], the columns that vary, centred and in units of their spread."""
        return scaled(self.obs)

    @cached_property
    def scaled_action(self) -> Numbers:
        """float64 [N, D], the action's columns that vary, likewise."""
        return scaled(self.action)

    @cached_property
    def directions(self) -> Numbers:
        """float64 [N, D], the scaled observations along their `MAX_DIRECTIONS` main directions."""
        if self.scaled_obs.shape[1] <= MAX_DIRECTIONS:
            return self.scaled_obs
        _, axes = np.linalg.eigh(self.scaled_obs.T @ self.scaled_obs)
        return np.asarray(self.scaled_obs @ axes[:, ::-1][:, :MAX_DIRECTIONS])

    def shifted(self, by: int) -> NDArray[np.int64]:
        """Return int64 [N], the row `by` steps later of the same episode, or its edge."""
        last = self.ends[self.episode_of] - 1
        first = self.begins[self.episode_of]
        return np.clip(np.arange(len(self)) + by, first, last)

    def anchors(self, count: int) -> NDArray[np.int64]:
        """Return at most `count` evenly spaced rows."""
        return np.unique(np.linspace(0, len(self) - 1, count).round().astype(np.int64))


def read_sample(
    buffer: ReplayBuffer,
    obs_keys: Sequence[str] | None = None,
    episodes: Sequence[int] | NDArray[np.int64] | None = None,
) -> Sample:
    """Read the numbers of a data set's actions and observations; episodes with NaN are left out.

    Args:
        buffer: A data set with actions.
        obs_keys: The observations to look at, every key if None.
        episodes: The episodes to look at, every one if None.
    """
    wanted = [key for key in (buffer.keys if obs_keys is None else obs_keys) if key != ACTION]
    widths = {key: int(np.prod(buffer[key].shape[1:], dtype=np.int64)) for key in wanted}
    left_out = [k for k in wanted if is_image(buffer[k].shape) or widths[k] > MAX_WIDTH]
    keys = [key for key in wanted if key not in left_out]

    action_width = int(np.prod(buffer[ACTION].shape[1:], dtype=np.int64))
    width = action_width + sum(widths[key] for key in keys)
    chosen = np.arange(buffer.n_episodes) if episodes is None else np.asarray(episodes, np.int64)
    chosen = _affordable(chosen, buffer, MAX_NUMBERS // max(1, width))

    parts = list(_episodes(buffer, keys, chosen))
    finite = [part for part in parts if np.isfinite(part[1]).all()]
    rows = np.concatenate([part for _, part in finite]) if finite else np.zeros((0, width))
    return Sample(
        obs=rows[:, action_width:],
        action=rows[:, :action_width],
        ends=np.cumsum([len(part) for _, part in finite], dtype=np.int64),
        episodes=np.array([episode for episode, _ in finite], dtype=np.int64),
        obs_labels=tuple(f"{key}[{i}]" for key in keys for i in range(widths[key])),
        action_labels=tuple(f"{ACTION}[{i}]" for i in range(action_width)),
        left_out=tuple(left_out),
    )


def scaled(columns: Numbers) -> Numbers:
    """Return the columns [N, D'] of [N, D] that vary, centred, by spread, without outliers."""
    if not columns.size:
        return columns[:, :0]
    low, high = np.quantile(columns, TAILS, axis=0)
    # What moves in fewer than 1 % of the steps is a rare event, and is scaled by its range.
    flat = low == high
    low = np.where(flat, columns.min(0), low)
    high = np.where(flat, columns.max(0), high)
    central = np.clip(columns, low, high)
    spread = central.std(0)
    varies = spread > 1e-9 * np.maximum(np.abs(low), np.abs(high))
    moved = (columns[:, varies] - central.mean(0)[varies]) / spread[varies]
    scaled: NDArray[np.float64] = np.clip(moved, -MAX_SCALED, MAX_SCALED)
    return scaled


def _affordable(
    episodes: NDArray[np.int64], buffer: ReplayBuffer, max_rows: int
) -> NDArray[np.int64]:
    """Return evenly spaced ones of the episodes that together hold at most `max_rows` steps."""
    lengths = np.diff(buffer.episode_ends, prepend=0)[episodes]
    if lengths.sum() <= max_rows or len(episodes) < 2:
        return episodes
    count = max(1, int(len(episodes) * max_rows / lengths.sum()))
    return episodes[np.unique(np.linspace(0, len(episodes) - 1, count).round().astype(np.int64))]


def _episodes(
    buffer: ReplayBuffer, keys: Sequence[str], episodes: NDArray[np.int64]
) -> Iterator[tuple[int, Numbers]]:
    """Yield the number and the rows [T, Da + Do] of each episode."""
    for episode in episodes:
        start, stop = buffer.bounds(int(episode))
        parts = [buffer.read(key, start, stop) for key in (ACTION, *keys)]
        flat = [part.reshape(stop - start, -1).astype(np.float64) for part in parts]
        yield int(episode), np.concatenate(flat, axis=1)

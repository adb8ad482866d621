"""Which steps make a training window, as index arrays over the data set's rows.

A window at step t of an episode holds the observations of steps t-To+1 .. t and the actions of
steps t-To+1 .. t-To+H, so action index To-1 is the one taken at t, the first to execute. This is
the sampler of Diffusion Policy (Chi et al. 2023, `create_indices`), with
pad_before = To-1 and pad_after = Ta-1; steps outside the episode repeat its first or last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError, nearest, whole_number

# No chunk of actions is longer; keeps row numbers far from the limits of int64.
LONGEST_HORIZON = 1 << 31

Padding = Literal["repeat", "mask"]


@dataclass(frozen=True)
class WindowIndex:
    """Every window of some episodes. Build with `build`; W windows in all.

    Attributes:
        n_obs_steps: To.
        horizon: H.
        padding: "repeat" trains on repeated edge actions as if they were real (Diffusion Policy),
            so the mask is all true; "mask" marks them false, for the loss to leave out.
        start: int64 [W], row of each window's first step; lies before `first` where padded.
        first: int64 [W], first row of the window's episode.
        last: int64 [W], last row of the window's episode.
        episodes: int64, the episodes that have a window, in the order asked for.
        skipped_episodes: Episodes too short for a single window.
    """

    n_obs_steps: int
    horizon: int
    padding: Padding
    start: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    episodes: NDArray[np.int64]
    skipped_episodes: tuple[int, ...]

    @classmethod
    def build(
        cls,
        episode_ends: NDArray[np.int64],
        *,
        n_obs_steps: int,
        horizon: int,
        n_action_steps: int,
        padding: Padding = "repeat",
        pad_before: int | None = None,
        pad_after: int | None = None,
        episodes: NDArray[np.int64] | None = None,
    ) -> WindowIndex:
        """Lay out the windows.

        Args:
            episode_ends: int64 [n_episodes], rows after each episode's last.
            n_obs_steps: To, at most H.
            horizon: H.
            n_action_steps: Ta; chunk indices To-1 .. To+Ta-2 are executed, so To-1+Ta <= H.
            padding: See the class.
            pad_before: Steps a window may begin before its episode, at most H-1; To-1 if None.
            pad_after: Steps a window may end after its episode, at most H-1; Ta-1 if None.
            episodes: Which episodes to use, all if None.

        Raises:
            DatasetError: The sizes contradict each other, or no episode is long enough.
        """
        _check_sizes(n_obs_steps, horizon, n_action_steps, padding)
        before = min(n_obs_steps - 1 if pad_before is None else max(pad_before, 0), horizon - 1)
        after = min(n_action_steps - 1 if pad_after is None else max(pad_after, 0), horizon - 1)
        ends = np.asarray(episode_ends, dtype=np.int64)
        chosen = np.arange(len(ends)) if episodes is None else np.asarray(episodes, np.int64)
        begins = np.concatenate([[0], ends[:-1]])[chosen]
        ends = ends[chosen]

        counts = np.maximum(ends - begins - horizon + after + before + 1, 0)
        if not counts.sum():
            raise DatasetError(
                f"no episode is long enough for a window: horizon {horizon} with padding "
                f"{before} + {after} needs {max(horizon - before - after, 1)} steps, the longest "
                f"of {len(ends)} has {int((ends - begins).max(initial=0))}; lower the horizon"
            )
        ordinal = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(
            n_obs_steps=n_obs_steps,
            horizon=horizon,
            padding=padding,
            start=np.repeat(begins - before, counts) + ordinal,
            first=np.repeat(begins, counts),
            last=np.repeat(ends - 1, counts),
            episodes=chosen[counts > 0],
            skipped_episodes=tuple(int(episode) for episode in chosen[counts == 0]),
        )

    def __len__(self) -> int:
        return len(self.start)

    def obs_rows(self, windows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the rows [B, To] of these windows' observations (of every window if None)."""
        return self._rows(windows, self.n_obs_steps)

    def action_rows(self, windows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the rows [B, H] of these windows' actions (of every window if None)."""
        return self._rows(windows, self.horizon)

    def mask(self, windows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Return bool [B, H]: True where an action counts in the loss."""
        select = slice(None) if windows is None else windows
        steps = self.start[select, None] + np.arange(self.horizon)
        if self.padding == "repeat":
            return np.ones(steps.shape, dtype=np.bool_)
        return (steps >= self.first[select, None]) & (steps <= self.last[select, None])

    def _rows(self, windows: NDArray[np.int64] | None, length: int) -> NDArray[np.int64]:
        select = slice(None) if windows is None else windows
        steps: NDArray[np.int64] = self.start[select, None] + np.arange(length)
        np.maximum(steps, self.first[select, None], out=steps)
        np.minimum(steps, self.last[select, None], out=steps)
        return steps


def split_episodes(
    n_episodes: int, validation_fraction: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide episodes at random into training and validation ones, each sorted.

    A fraction above 0 sets at least one episode aside and leaves at least one to train on.

    Raises:
        DatasetError: The fraction is not in [0, 1), or there are too few episodes to divide.
    """
    if not isinstance(validation_fraction, int | float) or not 0 <= validation_fraction < 1:
        raise DatasetError(f"validation_fraction is {validation_fraction!r}; give 0 <= it < 1")
    whole_number("the seed of the split", seed, 0)
    if validation_fraction == 0:
        return np.arange(n_episodes), np.arange(0)
    if n_episodes < 2:
        raise DatasetError(f"cannot divide {n_episodes} episode(s); set validation_fraction=0")
    count = int(np.clip(round(n_episodes * validation_fraction), 1, n_episodes - 1))
    order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(n_episodes)
    return np.sort(order[count:]), np.sort(order[:count])


def _check_sizes(n_obs_steps: int, horizon: int, n_action_steps: int, padding: str) -> None:
    whole_number("n_obs_steps", n_obs_steps, 1, LONGEST_HORIZON)
    whole_number("horizon", horizon, 1, LONGEST_HORIZON)
    whole_number("n_action_steps", n_action_steps, 1, LONGEST_HORIZON)
    if n_obs_steps - 1 + n_action_steps > horizon:
        raise DatasetError(
            f"horizon {horizon} is too short for n_obs_steps {n_obs_steps} and n_action_steps "
            f"{n_action_steps}; it must be at least {n_obs_steps - 1 + n_action_steps}"
        )
    if padding not in get_args(Padding):
        raise DatasetError(f"unknown padding {padding!r}{nearest(padding, get_args(Padding))}")

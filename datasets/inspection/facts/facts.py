"""Facts of a data set, from which advice and training settings follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...keys import ACTION, is_image
from ...storage import ReplayBuffer
from .history import History, find_history, motion_steps
from .meaning import ActionMeaning, read_meaning
from .modes import Modes, find_modes
from .pauses import Pauses, find_pauses
from .ranges import Column, columns_of
from .relations import Relations, find_relations
from .sample import read_sample
from .starts import Starts, find_starts
from .steps import StepColumn, find_steps


@dataclass(frozen=True)
class Facts:
    """What demonstrations are like. All of it is measured but `rate_hz` and `action.stated`.

    Attributes:
        n_episodes: Episodes.
        n_steps: Steps of all episodes.
        n_sampled: Steps that the other facts were computed from, whole episodes.
        lengths: Shortest, median and longest episode, in steps.
        rate_hz: Control rate; None where the data set does not say.
        n_pictures: Keys that hold pictures.
        left_out: Observations that were not looked at.
        obs: The observed numbers, one column each.
        action: The numbers of the action.
        meaning: Absolute or relative actions.
        steps: The numbers of the action that are steps of a known length.
        relations: How observed columns depend on one another.
        pauses: Idle segments.
        motion_steps: Steps until the motion has forgotten itself (autocorrelation 1/e).
        history: What history predicts, how far ahead; None where it cannot be told.
        modes: Multimodality; None where it cannot be told.
        starts: Initial states; None where there is nothing to compare.
    """

    n_episodes: int
    n_steps: int
    n_sampled: int
    lengths: tuple[int, float, int]
    rate_hz: float | None
    n_pictures: int
    left_out: tuple[str, ...]
    obs: tuple[Column, ...]
    action: tuple[Column, ...]
    meaning: ActionMeaning
    steps: tuple[StepColumn, ...]
    relations: Relations
    pauses: Pauses
    motion_steps: int
    history: History | None
    modes: Modes | None
    starts: Starts | None

    @property
    def angles(self) -> tuple[Column, ...]:
        """The columns that wrap."""
        return tuple(column for column in (*self.obs, *self.action) if column.period)

    @property
    def slivers(self) -> tuple[Column, ...]:
        """The columns whose range is set by outliers."""
        return tuple(column for column in (*self.obs, *self.action) if column.sliver)


def compute_facts(
    buffer: ReplayBuffer,
    obs_keys: Sequence[str] | None = None,
    episodes: Sequence[int] | NDArray[np.int64] | None = None,
) -> Facts | None:
    """Measure demonstrations, in seconds and in bounded memory; the same data give the same facts.

    Args:
        buffer: The data set.
        obs_keys: The observations that a policy will see, every key if None.
        episodes: The episodes to look at, every one if None.

    Returns:
        None where there is no step to look at: no episode, no action, or none that is finite.
    """
    if not buffer.n_steps or ACTION not in buffer:
        return None
    keys = [key for key in (buffer.keys if obs_keys is None else obs_keys) if key != ACTION]
    sample = read_sample(buffer, keys, episodes)
    if not len(sample) or not sample.action.shape[1]:
        return None

    lengths = np.diff(buffer.episode_ends, prepend=0)
    if episodes is not None:
        lengths = lengths[np.asarray(episodes, dtype=np.int64)]
    rate = buffer.attrs.get("control_rate_hz")
    meaning = read_meaning(sample, (buffer.attrs.get("action") or {}).get("meaning"))
    history = find_history(sample, meaning)
    obs, action = columns_of(sample)
    return Facts(
        n_episodes=len(lengths),
        n_steps=int(lengths.sum()),
        n_sampled=len(sample),
        lengths=(int(lengths.min()), float(np.median(lengths)), int(lengths.max())),
        rate_hz=float(rate) if rate else None,
        n_pictures=sum(is_image(buffer[key].shape) for key in keys),
        left_out=sample.left_out,
        obs=obs,
        action=action,
        meaning=meaning,
        steps=find_steps(sample, meaning, [column.period for column in obs]),
        relations=find_relations(sample),
        pauses=find_pauses(sample, meaning),
        motion_steps=motion_steps(sample, meaning),
        history=history,
        modes=find_modes(sample, meaning, min(2, history.best) if history else 1),
        starts=find_starts(sample),
    )

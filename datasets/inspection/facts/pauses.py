"""Idle segments: stretches of steps in which nothing is commanded and nothing moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .meaning import ActionMeaning
from .sample import Sample

# Shorter standstills are part of a motion (a turn, a grasp).
SHORTEST = 5
# A step is still when it moves less than this part of a brisk step (the 95th percentile of those
# that move at all), in every dimension.
STILL = 0.02
BRISK = 0.95


@dataclass(frozen=True)
class Pauses:
    """Idle segments of at least `SHORTEST` steps.

    Attributes:
        n_segments: How many.
        share: Of all steps.
        longest: Steps of the longest.
        at_start: Episodes that begin with one.
        at_end: Episodes that end with one.
        within: Segments that are neither.
        steps_at_start: Steps of those at the start, all episodes together.
        steps_at_end: Likewise at the end.
        steps_within: Likewise elsewhere.
    """

    n_segments: int
    share: float
    longest: int
    at_start: int
    at_end: int
    within: int
    steps_at_start: int
    steps_at_end: int
    steps_within: int


def find_pauses(sample: Sample, meaning: ActionMeaning) -> Pauses:
    """Find the idle segments of every episode."""
    still = _still(sample, meaning)
    begin, stop = _runs(still, sample.ends)
    long = stop - begin >= SHORTEST
    begin, stop = begin[long], stop[long]
    lengths = stop - begin

    start = np.isin(begin, sample.begins)
    end = np.isin(stop, sample.ends) & ~start
    inner = ~start & ~end
    return Pauses(
        n_segments=len(begin),
        share=float(lengths.sum() / max(1, len(sample))),
        longest=int(lengths.max(initial=0)),
        at_start=int(start.sum()),
        at_end=int(end.sum()),
        within=int(inner.sum()),
        steps_at_start=int(lengths[start].sum()),
        steps_at_end=int(lengths[end].sum()),
        steps_within=int(lengths[inner].sum()),
    )


def _still(sample: Sample, meaning: ActionMeaning) -> NDArray[np.bool_]:
    """Mark the steps [N] that command nothing and after which nothing has moved."""
    following = sample.shifted(1)
    previous = sample.shifted(-1)
    commanded = np.ones(len(sample), dtype=np.bool_)
    # A relative action of zero rests; of the others we only know that they do not change.
    for column, values in enumerate(sample.action.T):
        relative = meaning.of(column) == "relative"
        commanded &= _small(values if relative else values - values[previous])

    moved = np.ones(len(sample), dtype=np.bool_)
    for values in sample.obs.T:
        moved &= _small(values[following] - values)
    if not sample.obs.shape[1] and meaning.prevailing != "absolute":
        commanded &= np.logical_and.reduce([_small(values) for values in sample.action.T])
    # An episode's last step leads nowhere: it is as still as the one before.
    last = sample.ends - 1
    still = commanded & moved
    still[last] = commanded[last] & still[np.maximum(last - 1, 0)]
    return still


def _small(motion: NDArray[np.float64]) -> NDArray[np.bool_]:
    sizes = np.abs(motion)
    moving = sizes[sizes > 0]
    brisk = float(np.quantile(moving, BRISK)) if len(moving) else 0.0
    return np.asarray(sizes <= STILL * brisk)


def _runs(
    marked: NDArray[np.bool_], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row and the row after the last of every run of marks within an episode."""
    begins: list[NDArray[np.int64]] = []
    stops: list[NDArray[np.int64]] = []
    first = 0
    for end in ends:
        edges = np.diff(marked[first:end].astype(np.int8), prepend=0, append=0)
        begins.append(np.flatnonzero(edges == 1) + first)
        stops.append(np.flatnonzero(edges == -1) + first)
        first = int(end)
    empty = [np.zeros(0, dtype=np.int64)]
    return np.concatenate(begins or empty), np.concatenate(stops or empty)

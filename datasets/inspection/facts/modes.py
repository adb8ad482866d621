"""Multimodality: near-identical observations of other episodes that were answered differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .meaning import ActionMeaning, displacement
from .neighbours import nearest
from .sample import Numbers, Sample, scaled

MAX_QUERIES = 1500
MAX_POINTS = 8192
NEIGHBOURS = 12
LEAST_NEIGHBOURS = 6
# Steps of a chunk whose displacement is looked at, in quarters.
CHUNK = 16
# A set of neighbours is in two clusters when the best cut along its main direction leaves less of
# the variance there than it does in 99 of 100 normal clusters of that size, and when the parts are
# this far apart beside the spread of all chunks.
CHANCE = 0.01
FAR_APART = 0.5
SMALLEST_PART = 2
# The two parts must not be told apart by the observation: the distance of their mean observations
# may be this many times what a random cut gives.
TOLD_APART = 1.5
N_SIMULATED = 1000


@dataclass(frozen=True)
class Modes:
    """How far the observation leaves open what was done next.

    Attributes:
        chunk: Steps of what was done next.
        unexplained: Share of the variance of the chunk's displacements that stays between
            observations which are the same, extrapolated from near ones to distance 0 (the gamma
            test of Stefansson et al. 1997). 0: the observation decides; 1: it says nothing.
        split: Share of the steps whose neighbours did one of two distinct things.
        distance: Of the nearest neighbour in another episode, over that of two steps at random.
            Near 1 there are no neighbours, and nothing can be said.
        around: float64 [S], variance among the neighbours of each step looked at, over that of all.
    """

    chunk: int
    unexplained: float
    split: float
    distance: float
    around: Numbers


def find_modes(sample: Sample, meaning: ActionMeaning, history: int) -> Modes | None:
    """Compare what was done next after near-identical observations of other episodes.

    Args:
        sample: The steps.
        meaning: Of the actions.
        history: Observations that count as one, `To`.

    Returns:
        None where there are too few episodes or observations to compare.
    """
    points = sample.anchors(MAX_POINTS)
    # Neighbours are of other episodes, one of each, and the nearest third of them at most.
    count = min(NEIGHBOURS, max(LEAST_NEIGHBOURS, len(sample.ends) // 3))
    if len(sample.ends) <= count or not sample.directions.shape[1]:
        return None

    seen = windows(sample, history)[points]
    chunk = _chunk(sample)
    done = _done(sample, meaning, chunk)[points]
    total = float(done.var(0).sum())
    if total == 0:
        return None

    queries = np.unique(np.linspace(0, len(points) - 1, MAX_QUERIES).round().astype(np.int64))
    groups = sample.episode_of[points]
    found, squares = nearest(
        seen[queries],
        seen,
        count,
        query_groups=groups[queries],
        point_groups=groups,
    )
    apart = float(2 * seen.var(0).sum())
    answers = done[found]
    return Modes(
        chunk=chunk,
        unexplained=_intercept(done[queries], answers, squares) / total,
        split=_split_share(answers, seen[found], total),
        distance=float(np.sqrt(np.median(squares[:, 0]) / apart)) if apart else 0.0,
        around=answers.var(1).sum(-1) / total,
    )


def windows(sample: Sample, history: int) -> Numbers:
    """Return [N, D], the present observation and the `history` - 1 changes that led to it."""
    parts = [sample.directions]
    for back in range(1, history):
        now = sample.directions[sample.shifted(1 - back)]
        parts.append(now - sample.directions[sample.shifted(-back)])
    # A change counts as much as a place: each in units of its own spread.
    return np.concatenate([parts[0], *(scaled(part) for part in parts[1:])], axis=1)


def _chunk(sample: Sample) -> int:
    """Return the steps of a chunk: `CHUNK`, or a quarter of the usual episode if that is less."""
    median = float(np.median(np.diff(sample.ends, prepend=0)))
    return int(max(1, min(CHUNK, median // 4)))


def _done(sample: Sample, meaning: ActionMeaning, chunk: int) -> Numbers:
    """Return [N, D], the displacement after each quarter of the chunk, scaled."""
    quarters = sorted({max(0, round(chunk * part / 4) - 1) for part in (1, 2, 3, 4)})
    return scaled(np.concatenate([displacement(sample, meaning, q) for q in quarters], axis=1))


def _intercept(own: Numbers, answers: Numbers, squares: Numbers) -> float:
    """Return the variance of the answers at distance 0, by a line through the mean over neighbours.

    Args:
        own: [Q, D], what was done at the step itself.
        answers: [Q, k, D], what was done at its neighbours.
        squares: [Q, k], their squared distances.
    """
    # The densest half says most about distance 0.
    dense = squares[:, 0] <= np.median(squares[:, 0])
    differences = 0.5 * ((answers[dense] - own[dense, None]) ** 2).sum(-1).mean(0)
    distances = squares[dense].mean(0)
    spread = distances - distances.mean()
    power = float(spread @ spread)
    slope = float(spread @ differences) / power if power else 0.0
    at_zero = float(differences.mean() - max(slope, 0.0) * distances.mean())
    return min(max(at_zero, 0.0), float(differences[0]))


def _split_share(answers: Numbers, seen: Numbers, total: float) -> float:
    """Return the share of neighbourhoods whose answers fall into two distinct clusters.

    Args:
        answers: [Q, k, D], what was done at each neighbour.
        seen: [Q, k, Do], what was observed there.
        total: Variance of all answers.
    """
    left, gap, parts = _cut(answers)
    distinct = left < _least_by_chance(*answers.shape[1:])
    distinct &= gap > FAR_APART * np.sqrt(total)

    share = parts.mean(1)
    centred = seen - seen.mean(1, keepdims=True)
    # Twice the mean of one part, as the mean of all is 0: the difference of the two means.
    between = np.einsum("qk,qkd->qd", parts.astype(np.float64), centred) / parts.sum(1)[:, None]
    difference = (between**2).sum(1) / (1 - share) ** 2
    count = parts.shape[1]
    by_chance = centred.var(1).sum(1) / ((count - 1) * share * (1 - share))
    return float(np.mean(distinct & (difference <= TOLD_APART * by_chance)))


def _least_by_chance(count: int, width: int) -> float:
    """Return what a cut of one normal cluster of `count` points leaves in 1 of 100 cases.

    The less of a cluster in one dimension and one in `width`: answers lie somewhere between.
    """
    generator = np.random.Generator(np.random.Philox(key=[0, 2]))
    clusters = [generator.normal(size=(N_SIMULATED, count, size)) for size in (1, width)]
    return min(float(np.quantile(_cut(each)[0], CHANCE)) for each in clusters)


def _cut(sets: Numbers) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Cut each set [Q, k, D] in two along its main direction, where the parts are tightest.

    Returns:
        [Q], the share of the variance along the direction that is left within the parts;
        [Q], the distance of their means; bool [Q, k], the members of one part.
    """
    centred = sets - sets.mean(1, keepdims=True)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    line = np.einsum("qkd,qd->qk", centred, axes[:, 0])
    order = np.argsort(line, axis=1)
    rising = np.take_along_axis(line, order, axis=1)

    count = line.shape[1]
    sizes = np.arange(SMALLEST_PART, count - SMALLEST_PART + 1)
    sums = np.cumsum(rising, axis=1)[:, sizes - 1]
    # Between the means of the two parts, for every cut of the sorted line (its mean is 0).
    between = sums**2 * count / (sizes * (count - sizes))
    best = np.argmax(between, axis=1)
    gained = between[np.arange(len(sets)), best]
    variance = (line**2).sum(1)
    size = sizes[best]

    left = np.where(variance > 0, 1 - gained / np.where(variance > 0, variance, 1.0), 1.0)
    gap = np.sqrt(gained * count / (size * (count - size)))
    parts = np.argsort(order, axis=1) < size[:, None]
    return left, gap, parts

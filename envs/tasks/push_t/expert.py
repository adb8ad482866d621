"""A scripted expert for PushT: straight pushes, searched for in a library several pushes ahead.

From where things stand it picks the push that begins the shortest plan, goes round the block to
where that push starts, pushes, and looks again. Which side of the block it takes is drawn by the
episode's seed, among plans of nearly the same length, so demonstrations differ even from the same
start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import geometry
from .push_model import STANDOFF, compose, push_library
from .push_route import Routes, overshoot, route_lengths
from .tracking import PointTracker, glide

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

# px per control step, and px per control step squared.
TRANSIT_SPEED = 24.0
TRANSIT_ACCELERATION = 8.0
PUSH_SPEED = 10.0
PUSH_ACCELERATION = 4.0

N_PUSHES_AHEAD = 3
BEAM = 60
"""Plans that are carried on, per side of the block."""

# A plan that takes this many control steps more than another is chosen e times more rarely: in an
# episode's first choice of a side, and later.
OPENING_INDIFFERENCE = 20.0
INDIFFERENCE = 6.0

STEPS_PER_PIXEL_OUTSIDE = 10.0
"""What a push that moves pusher or block out of the world is made to seem longer by."""
UNREACHABLE = 1e4
"""What a push whose start cannot be reached seems to take, in control steps."""

AREA_CENTROID = np.array([[0.0, 285.0 / 7.0]])
AREA_GYRATION = 43.95
"""Radius of gyration of the T's area about its centroid, px."""


class PushTExpert:
    """Actor for PushT: keeps the plan of each running episode under the episode's seed."""

    def __init__(self) -> None:
        self._episodes: dict[int, _Episode] = {}

    def __call__(
        self,
        observations: Sequence[dict[str, NDArray[Any]]],
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> NDArray[np.float32]:
        """Return actions `[n, 2]`, px; reads `state` [5] of each observation."""
        rows = [
            self._act(np.asarray(obs["state"], np.float64), seed, step)
            for obs, seed, step in zip(observations, seeds, steps, strict=True)
        ]
        return np.array(rows, dtype=np.float32).reshape(-1, 2)

    def _act(self, state: Array, seed: int, step: int) -> Array:
        if step == 0 or seed not in self._episodes:
            self._episodes[seed] = _Episode(np.random.default_rng(seed))
        episode = self._episodes[seed]
        if not episode.references:
            indifference = OPENING_INDIFFERENCE if step == 0 else INDIFFERENCE
            episode.references = plan_push(state, episode.rng, indifference)
        return episode.tracker.target(state[:2], episode.references.pop(0))


@dataclass
class _Episode:
    """What the expert remembers of an episode: where the pusher is to be at the coming steps."""

    rng: np.random.Generator
    tracker: PointTracker = field(default_factory=PointTracker)
    references: list[Array] = field(default_factory=list)


def plan_push(state: Array, rng: np.random.Generator, indifference: float) -> list[Array]:
    """Return the pusher's positions `[2]` at the coming control steps: up to a push, then in it.

    The pusher is at rest at the beginning and at the end.

    Args:
        state: the observation's, `[5]`.
        rng: draws the side of the block.
        indifference: see `choose_push`.
    """
    library = push_library()
    pose = state[2:]
    routes = Routes(geometry.to_block(state[:2], pose), library.starts, pose)
    push, length = choose_push(pose, routes.lengths, rng, indifference)
    way = routes.path(push)
    stroke = np.stack([library.starts[push], library.ends[push, length]])
    return [
        *glide(geometry.to_world(way, pose), TRANSIT_SPEED, TRANSIT_ACCELERATION),
        *glide(geometry.to_world(stroke, pose), PUSH_SPEED, PUSH_ACCELERATION),
    ]


def choose_push(
    pose: Array, distances: Array, rng: np.random.Generator, indifference: float
) -> tuple[int, int]:
    """Return the indices (push, length) into the library of the push to begin with.

    A beam search over the next pushes, for each side of the block; the side is then drawn with
    weights exp(-steps of the plan / indifference).

    Args:
        pose: the block's, `[3]`.
        distances: to the pushes' starts, px, `[K]`.
        rng: draws the side.
        indifference: control steps.
    """
    plans = _best(_first_pushes(pose, distances), BEAM)
    finalists = [_best(plans, 1)]
    for _ in range(1, N_PUSHES_AHEAD):
        plans = _best(_extended(plans), BEAM)
        finalists.append(_best(plans, 1))
    totals = np.stack([plan.total for plan in finalists])
    weights = np.exp((totals.min() - totals.min(axis=0)) / indifference)
    side = rng.choice(len(weights), p=weights / weights.sum())
    first = finalists[int(totals[:, side].argmin())].first[side]
    push, length = np.unravel_index(first, push_library().poses.shape[:2])
    return int(push), int(length)


@dataclass(frozen=True)
class _Plans:
    """P sequences of pushes.

    Attributes:
        first: flat index of the first push and its length.
        last: index of the last push.
        spent: control steps.
        poses: the poses reached, `[P, 3]`.
    """

    first: Indices
    last: Indices
    spent: Array
    poses: Array

    @property
    def total(self) -> Array:
        return self.spent + steps_to_go(self.poses)

    def take(self, rows: Indices) -> _Plans:
        return _Plans(self.first[rows], self.last[rows], self.spent[rows], self.poses[rows])


def _first_pushes(pose: Array, distances: Array) -> _Plans:
    library = push_library()
    poses = compose(pose, library.poses)
    ends = geometry.to_world(library.ends.reshape(-1, 2), pose)
    outside = overshoot(ends).reshape(poses.shape[:2])
    outside += overshoot(geometry.to_world(geometry.OUTLINE, poses)).max(axis=-1)
    steps = _transit_steps(distances)[:, None] + _stroke_steps()
    spent = (steps + STEPS_PER_PIXEL_OUTSIDE * outside).clip(max=UNREACHABLE).reshape(-1)
    index = np.arange(len(spent))
    return _Plans(index, index // poses.shape[1], spent, poses.reshape(-1, 3))


def _extended(plans: _Plans) -> _Plans:
    """Append each push to each plan. The world's border is left to the next look."""
    library = push_library()
    n_pushes, n_lengths = library.poses.shape[:2]
    steps = _transits()[plans.last][:, :, None] + _stroke_steps()
    return _Plans(
        first=np.repeat(plans.first, n_pushes * n_lengths),
        last=np.tile(np.repeat(np.arange(n_pushes), n_lengths), len(plans.first)),
        spent=(plans.spent[:, None, None] + steps).reshape(-1),
        poses=compose(plans.poses[:, None, None], library.poses).reshape(-1, 3),
    )


def _best(plans: _Plans, n: int) -> _Plans:
    """Return the n shortest plans that begin on the left side of the block, and on the right."""
    starts = push_library().starts
    n_lengths = push_library().poses.shape[1]
    on_right = starts[plans.first // n_lengths, 0] > 0
    total = plans.total
    sides = [np.flatnonzero(~on_right), np.flatnonzero(on_right)]
    return plans.take(np.concatenate([rows[np.argsort(total[rows])[:n]] for rows in sides]))


def steps_to_go(poses: Array) -> Array:
    """Estimate the control steps from block poses `[..., 3]` to success.

    A push leaves an error some times smaller, whatever its size: hence the logarithm.
    """
    error = pose_error(poses)
    return 0.5 * error + 16.0 * np.log2(1.0 + error)


def pose_error(poses: Array) -> Array:
    """Return how far blocks at poses `[..., 3]` are from the goal's pose, px.

    Near the goal, the root mean square distance of their points; unlike that it keeps growing
    with the angle up to half a turn, where the search needs a slope most.
    """
    goal = np.array(geometry.GOAL_POSE)
    here, there = (geometry.to_world(AREA_CENTROID, pose)[..., 0, :] for pose in (poses, goal))
    angle = (poses[..., 2] - goal[2] + np.pi) % (2 * np.pi) - np.pi
    return np.asarray(np.sqrt(((here - there) ** 2).sum(axis=-1) + (AREA_GYRATION * angle) ** 2))


def _transit_steps(distances: Array) -> Array:
    return distances / TRANSIT_SPEED + TRANSIT_SPEED / TRANSIT_ACCELERATION


@cache
def _stroke_steps() -> Array:
    """Return the control steps `[K, L]` of each push itself."""
    library = push_library()
    strokes = np.linalg.norm(library.ends - library.starts[:, None], axis=-1)
    return np.asarray(strokes / PUSH_SPEED + PUSH_SPEED / PUSH_ACCELERATION)


@cache
def _transits() -> Array:
    """Return the control steps `[K, K]` from the end of one push to the start of another."""
    return _transit_steps(route_lengths(push_library().starts) + STANDOFF)

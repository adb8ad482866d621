"""Ways of the pusher round the T without touching it: shortest paths in a visibility graph.

All points are in the block's frame, where the graph's corners stand still.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import shapely
from numpy.typing import NDArray

from . import geometry
from .push_model import CLEARANCE

Array = NDArray[np.float64]

# The way round runs along chords of rounded corners, which come this much nearer to the block.
_SAG = 2.5
_BORDER = 6.0
"""What the pusher's centre keeps from the border of the world, px."""


class Routes:
    """Shortest ways from `start` `[2]` to each of `targets` `[K, 2]` past the block at a pose.

    They keep inside the world, and first leave the block by the nearest way when the start is too
    near it.
    """

    def __init__(self, start: Array, targets: Array, pose: Array) -> None:
        inside = overshoot(geometry.to_world(_corners(), pose)) == 0
        self._corners = _corners()[inside]
        self._way_out = np.stack([start, _nearest_clear(start)])
        self._targets = targets
        reach = self._reach(_hops()[np.ix_(inside, inside)])
        through = reach[:, None] + _distances(self._corners, targets)
        direct = _distances(self._way_out[1:], targets)
        # Row 0 is the straight way, row i + 1 the one whose last corner is i.
        lengths = np.concatenate([direct, through])
        self._choice = lengths.argmin(axis=0)
        reachable = overshoot(geometry.to_world(targets, pose)) == 0
        way_out = float(np.hypot(*(self._way_out[1] - start)))
        self.lengths: Array = np.where(reachable, lengths.min(axis=0) + way_out, np.inf)
        """Length [K] of each way, px; inf where there is none."""

    def path(self, target: int) -> Array:
        """Return the corners `[n, 2]` of the way to a target, start and target included."""
        backwards = [self._targets[target]]
        corner = int(self._choice[target]) - 1
        while corner >= 0:
            backwards.append(self._corners[corner])
            corner = int(self._before[corner])
        return np.concatenate([self._way_out, backwards[::-1]])

    def _reach(self, hops: Array) -> Array:
        """Bellman-Ford: length of the way to each corner; remembers the corner before it."""
        reach = _distances(self._way_out[1:], self._corners)[0]
        self._before = np.full(len(reach), -1)
        for _ in range(len(reach)):
            through = reach[:, None] + hops
            nearer = through.min(axis=0) < reach
            self._before = np.where(nearer, through.argmin(axis=0), self._before)
            reach = np.minimum(reach, through.min(axis=0))
        return np.asarray(reach)


def route_lengths(points: Array) -> Array:
    """Return lengths `[K, K]` of the shortest ways between points `[K, 2]` in an endless world."""
    between = _hops()
    for corner in range(len(between)):
        between = np.minimum(between, between[:, corner, None] + between[corner])
    to_corners = _distances(points, _corners())
    # [K, n]: to the corner from which the other point is seen.
    reach = (to_corners[:, :, None] + between).min(axis=1)
    direct = _distances(points, points)
    return np.stack(
        [np.minimum(direct[i], (reach[i] + to_corners).min(axis=1)) for i in range(len(points))]
    )


def overshoot(points: Array) -> Array:
    """Return how far points `[..., 2]` lie beyond where the pusher can stand, px."""
    beyond = np.maximum(_BORDER - points, points - (geometry.WORLD_SIZE - _BORDER))
    return np.asarray(beyond.max(axis=-1).clip(0.0))


def _nearest_clear(point: Array) -> Array:
    """Return the point itself, or the nearest one that keeps the clearance."""
    if not shapely.contains_xy(_ring(), *point):
        return point
    line = shapely.shortest_line(shapely.points(point), _ring().exterior)
    return np.asarray(shapely.get_coordinates(line)[-1])


def _distances(sources: Array, targets: Array) -> Array:
    """Return distances `[S, K]` from sources `[S, 2]` to targets `[K, 2]`; inf past the block."""
    source, target = np.broadcast_arrays(sources[:, None], targets[None])
    blocked = shapely.intersects(_obstacle(), shapely.linestrings(np.stack([source, target], 2)))
    return np.where(blocked, np.inf, np.linalg.norm(source - target, axis=-1))


@cache
def _ring() -> shapely.Polygon:
    return shapely.Polygon(geometry.OUTLINE).buffer(geometry.PUSHER_RADIUS + CLEARANCE, quad_segs=2)


@cache
def _obstacle() -> shapely.Polygon:
    grown = geometry.PUSHER_RADIUS + CLEARANCE - _SAG
    obstacle = shapely.Polygon(geometry.OUTLINE).buffer(grown, quad_segs=4)
    shapely.prepare(obstacle)
    return obstacle


@cache
def _corners() -> Array:
    return np.array(_ring().exterior.coords[:-1])


@cache
def _hops() -> Array:
    return _distances(_corners(), _corners())

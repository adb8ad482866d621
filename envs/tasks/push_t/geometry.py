"""Geometry of the Push-T task: the T, its keypoints, and how much of the goal it covers.

Lengths are in pixels of the 512 x 512 world of Push-T (Diffusion Policy, Chi et al. 2023,
and gym-pusht 0.1.8), x to the right and y down. A pose is (x, y, angle): where the block's frame
stands. Its origin is the middle of the bar's outer edge, the stem runs along +y.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WORLD_SIZE = 512.0
GOAL_POSE = (256.0, 256.0, np.pi / 4)
SUCCESS_COVERAGE = 0.95
BLOCK_SCALE = 30.0
PUSHER_RADIUS = 15.0

# (x_min, y_min, x_max, y_max) in the block's frame: a bar of 120 x 30 and a stem of 30 x 90.
BAR = (-2 * BLOCK_SCALE, 0.0, 2 * BLOCK_SCALE, BLOCK_SCALE)
STEM = (-BLOCK_SCALE / 2, BLOCK_SCALE, BLOCK_SCALE / 2, 4 * BLOCK_SCALE)

# gym-pusht gives bar and stem the same mass, so this is not the centroid of the area.
CENTRE_OF_MASS = (0.0, 1.5 * BLOCK_SCALE)

# The outline of the T, once round.
OUTLINE: NDArray[np.float64] = np.array(
    [
        (BAR[0], BAR[1]),
        (BAR[2], BAR[1]),
        (BAR[2], BAR[3]),
        (STEM[2], STEM[1]),
        (STEM[2], STEM[3]),
        (STEM[0], STEM[3]),
        (STEM[0], STEM[1]),
        (BAR[0], BAR[3]),
    ]
)

# The nine keypoints of Diffusion Policy's human data set, in the block's frame. Its authors drew
# them at random from the block's picture; these are the medians, over the 25 650 recorded steps,
# of R(-angle) (keypoint - position). They give back the recorded keypoints to 4e-5 px where the
# block rests; while it is being pushed the record itself is out of step with its state (99 % of
# the steps within .035 px, the worst 2.05 px).
KEYPOINTS: NDArray[np.float64] = np.array(
    [
        (9.269786, 90.040974),
        (-60.983472, -1.186730),
        (60.912755, -1.393364),
        (-0.270504, 25.543625),
        (-14.064927, 122.815854),
        (39.002738, 32.857404),
        (-39.966414, 32.729655),
        (-16.824344, 62.863179),
        (23.541461, -1.700288),
    ]
)


def to_world(points: NDArray[np.float64], poses: ArrayLike) -> NDArray[np.float64]:
    """Carry points `[K, 2]` of a frame into the world for poses `[..., 3]`: `[..., K, 2]`."""
    pose = np.asarray(poses, dtype=np.float64)
    cos = np.cos(pose[..., 2, None])
    sin = np.sin(pose[..., 2, None])
    x = points[:, 0]
    y = points[:, 1]
    return np.stack(
        [cos * x - sin * y + pose[..., 0, None], sin * x + cos * y + pose[..., 1, None]], axis=-1
    )


def keypoints(poses: ArrayLike) -> NDArray[np.float64]:
    """Return the keypoints `[..., 9, 2]` in the world for block poses `[..., 3]`."""
    return to_world(KEYPOINTS, poses)


def coverage(poses: ArrayLike) -> NDArray[np.float64]:
    """Return the covered share of the goal's area, in [0, 1], for block poses `[..., 3]`."""
    import shapely

    block = shapely.polygons(to_world(OUTLINE, poses))
    goal = _goal()
    area: NDArray[np.float64] = shapely.area(shapely.intersection(block, goal)) / shapely.area(goal)
    return area


def distance(points: ArrayLike, poses: ArrayLike) -> NDArray[np.float64]:
    """Return the distance, px, of points `[..., 2]` from blocks at poses `[..., 3]`; 0 inside."""
    offset = nearest_point(to_block(points, poses)) - to_block(points, poses)
    gap: NDArray[np.float64] = np.linalg.norm(offset, axis=-1)
    return gap


def to_block(points: ArrayLike, poses: ArrayLike) -> NDArray[np.float64]:
    """Carry world points `[..., 2]` into the frame of the block at poses `[..., 3]`."""
    point = np.asarray(points, dtype=np.float64)
    pose = np.asarray(poses, dtype=np.float64)
    cos = np.cos(pose[..., 2])
    sin = np.sin(pose[..., 2])
    x = point[..., 0] - pose[..., 0]
    y = point[..., 1] - pose[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)


def nearest_point(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the block's point nearest to each of points `[..., 2]`, all in the block's frame."""
    on_bar = points.clip(BAR[:2], BAR[2:])
    on_stem = points.clip(STEM[:2], STEM[2:])
    bar_is_nearer = ((points - on_bar) ** 2).sum(-1) <= ((points - on_stem) ** 2).sum(-1)
    return np.where(bar_is_nearer[..., None], on_bar, on_stem)


def score(coverage: ArrayLike) -> NDArray[np.float64]:
    """Return Push-T's score, min(1, coverage / .95)."""
    return np.minimum(1.0, np.asarray(coverage, dtype=np.float64) / SUCCESS_COVERAGE)


@cache
def _goal() -> Any:
    import shapely

    return shapely.polygons(to_world(OUTLINE, GOAL_POSE))

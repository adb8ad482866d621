"""A model of pushing the T: what each straight push does to the block, worked out once.

The block moves only while it is pushed and its contact with the pusher has no friction, so the
pusher's advance along the contact's normal n fixes the block's motion: with the lever
l = r x n about the centre of mass and the radius of gyration rho, an advance s shifts the block
by n s / (1 + l^2 / rho^2) and turns it by l / rho^2 times that (quasi-static pushing with an
ellipsoidal limit surface; Goyal et al. 1991). It does not depend on where the
block stands: a library of pushes in the block's own frame serves every pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import geometry

Array = NDArray[np.float64]

RADIUS_OF_GYRATION = float(np.sqrt(3000.0))
"""From gym-pusht's moment of inertia and mass, px; push_t.xml has the same."""

CLEARANCE = 8.0
"""Gap to the block that the pusher keeps where a push begins and on its way there, px."""

STANDOFF = 12.0
"""Gap to the block's edge where a push begins, px."""
_SPACING = 6.0
_TILTS = (-0.35, 0.0, 0.35)
_LENGTHS = np.array([1, 2, 3, 4, 6, 8, 11, 15, 20, 28, 38, 50, 66, 86, 110], dtype=np.float64)
_SUBSTEP = 0.5


@dataclass(frozen=True)
class PushLibrary:
    """K straight pushes, each stopped at L lengths, in the block's frame before the push.

    Attributes:
        starts: where the pusher rests before, `[K, 2]`.
        ends: where it rests afterwards, `[K, L, 2]`.
        poses: how that leaves the block, `[K, L, 3]`.
    """

    starts: Array
    ends: Array
    poses: Array


@cache
def push_library() -> PushLibrary:
    """Return the library: some 200 pushes of 15 lengths, computed in a tenth of a second."""
    touches, directions = _contacts()
    return PushLibrary(
        starts=touches - STANDOFF * directions,
        ends=touches[:, None] + directions[:, None] * _LENGTHS[:, None],
        poses=np.stack(simulate(touches, directions, _LENGTHS), axis=1),
    )


def simulate(touches: Array, directions: Array, lengths: Array) -> list[Array]:
    """Push blocks at pose (0, 0, 0) and return their poses `[K, 3]` after each length.

    Args:
        touches: where the pusher first touches, `[K, 2]`.
        directions: unit vectors of the pushes, `[K, 2]`.
        lengths: of the pushes so far, px, increasing.
    """
    pose = np.zeros((len(touches), 3))
    travelled = 0.0
    poses = []
    for length in lengths:
        n_steps = max(1, round((length - travelled) / _SUBSTEP))
        for advance in np.linspace(travelled, length, n_steps + 1)[1:]:
            # Twice: in the inner corner of the T the pusher touches two faces.
            for _ in range(2):
                pose = _push_out(pose, touches + advance * directions)
        travelled = length
        poses.append(pose)
    return poses


def compose(poses: Array, changes: Array) -> Array:
    """Return poses `[..., 3]` after `changes` `[..., 3]`, given in the poses' own frames."""
    cos = np.cos(poses[..., 2])
    sin = np.sin(poses[..., 2])
    x = changes[..., 0]
    y = changes[..., 1]
    return np.stack(
        [
            poses[..., 0] + cos * x - sin * y,
            poses[..., 1] + sin * x + cos * y,
            poses[..., 2] + changes[..., 2],
        ],
        axis=-1,
    )


def _push_out(pose: Array, pusher: Array) -> Array:
    """Move blocks at pose `[K, 3]` the least way out of pushers at `[K, 2]`."""
    centre = geometry.to_block(pusher, pose)
    contact = geometry.nearest_point(centre)
    offset = contact - centre
    gap = np.linalg.norm(offset, axis=-1)
    normal = offset / np.maximum(gap, 1e-9)[:, None]
    arm = contact - geometry.CENTRE_OF_MASS
    lever = arm[:, 0] * normal[:, 1] - arm[:, 1] * normal[:, 0]
    shift = (geometry.PUSHER_RADIUS - gap).clip(0.0) / (1 + (lever / RADIUS_OF_GYRATION) ** 2)
    return _move(pose, normal * shift[:, None], shift * lever / RADIUS_OF_GYRATION**2)


def _move(pose: Array, shift: Array, turn: Array) -> Array:
    """Shift the centres of mass by `[K, 2]`, in the blocks' frames, and turn about them."""
    x, y = geometry.CENTRE_OF_MASS
    cos = np.cos(turn)
    sin = np.sin(turn)
    change = [x - cos * x + sin * y + shift[:, 0], y - sin * x - cos * y + shift[:, 1], turn]
    return compose(pose, np.stack(change, axis=-1))


def _contacts() -> tuple[Array, Array]:
    """Return places `[K, 2]` where the pusher touches an edge, and directions `[K, 2]` to push."""
    touches = []
    directions = []
    for corner, following in zip(
        geometry.OUTLINE, np.roll(geometry.OUTLINE, -1, axis=0), strict=True
    ):
        along = following - corner
        length = float(np.linalg.norm(along))
        # Seen with y down the outline runs clockwise, so its inside lies to the right.
        inward = np.array([-along[1], along[0]]) / length
        count = round(length / _SPACING)
        for fraction in (np.arange(count) + 0.5) / count:
            for tilt in np.arctan2(inward[1], inward[0]) + np.array(_TILTS):
                touches.append(corner + fraction * along - geometry.PUSHER_RADIUS * inward)
                directions.append([np.cos(tilt), np.sin(tilt)])
    touch = np.array(touches)
    direction = np.array(directions)
    start = touch - STANDOFF * direction
    gap = np.linalg.norm(geometry.nearest_point(start) - start, axis=-1) - geometry.PUSHER_RADIUS
    return touch[gap > CLEARANCE], direction[gap > CLEARANCE]

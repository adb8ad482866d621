"""The mirror of Push-T: a map of observations and actions that changes nothing but the view.

A symmetry is {key: (matrix [n, n], offset [n])}: the flattened value v of the key becomes
matrix v + offset. Training may show each demonstration both ways.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import geometry

Array = NDArray[np.float64]
Symmetry = dict[str, tuple[Array, Array]]


def mirror() -> Symmetry:
    """Return the mirror: (x, y) -> (512 - y, 512 - x).

    The goal pose is its own mirror image, and so are the T and the walls. The mirrored block's
    keypoints lie elsewhere on it than the mirror images of the keypoints; since positions on a
    rigid block are affine in one another, they are a fixed combination of those.
    """
    reflection = np.array([[0.0, -1.0], [-1.0, 0.0]])
    shift = np.full(2, geometry.WORLD_SIZE)
    # On the block the mirror is x -> -x: weights [9, 9] that give -x of keypoint i from all.
    here = np.column_stack([geometry.KEYPOINTS, np.ones(len(geometry.KEYPOINTS))])
    weights = np.linalg.lstsq(here.T, (here * [-1.0, 1.0, 1.0]).T, rcond=None)[0].T
    return {
        "agent_pos": (reflection, shift),
        "action": (reflection, shift),
        "keypoint": (np.kron(weights, reflection), np.tile(shift, len(weights))),
    }

"""Differential inverse kinematics: joint positions that bring a site to a pose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class InverseKinematics:
    """Damped least squares with a posture task in the null space (Wampler 1986; Buss 2004).

    Each iteration moves by dq = J^T (J J^T + damping^2 I)^-1 e + (I - J^+ J) k (posture - q),
    with e the pose error [6]. The posture resolves the redundancy, so that a pose has nearly one
    answer, whatever the start.

    Args:
        model: the compiled model; a private MjData is used, no simulation is touched.
        site: name of the site to place.
        joints: names of the n hinge or slide joints that may move.
        posture: joint positions to prefer, `[n]`.
        damping: of the least squares; more is slower and steadier near singularities.
        posture_gain: k, part of the way to the posture in an iteration.
        max_error: the pose error of one iteration is shortened to this, m and rad.
    """

    def __init__(
        self,
        model: Any,
        site: str,
        joints: Sequence[str],
        posture: Array,
        *,
        damping: float = 0.02,
        posture_gain: float = 0.1,
        max_error: float = 0.2,
    ) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site(site).id
        self._qpos = np.array([model.joint(name).qposadr[0] for name in joints])
        self._dofs = np.array([model.joint(name).dofadr[0] for name in joints])
        self._low, self._high = np.array([model.joint(name).range for name in joints]).T
        self._posture = posture
        self._damping = damping**2 * np.eye(6)
        self._posture_gain = posture_gain
        self._max_error = max_error
        self._jacobian = np.zeros((6, model.nv))

    def solve(
        self,
        position: Array,
        rotation: Array,
        start: Array,
        *,
        n_iterations: int = 8,
        tolerance: float = 5e-4,
    ) -> Array:
        """Return joint positions `[n]` that bring the site to the pose, as nearly as they can.

        Args:
            position: of the site, metres, `[3]`.
            rotation: the site's axes in its columns, `[3, 3]`.
            start: joint positions to begin with, `[n]`.
            n_iterations: at most.
            tolerance: on the error (metres and radians).
        """
        joints = start.copy()
        for _ in range(n_iterations):
            error = self._error(joints, position, rotation)
            jacobian = self._jacobian[:, self._dofs]
            pull = self._posture_gain * (self._posture - joints)
            step = error - jacobian @ pull
            joints += pull + jacobian.T @ np.linalg.solve(
                jacobian @ jacobian.T + self._damping, step
            )
            joints.clip(self._low, self._high, out=joints)
            if error @ error < tolerance**2:
                break
        return joints

    def _error(self, joints: Array, position: Array, rotation: Array) -> Array:
        """Return the pose error [6], shortened to max_error; leaves the Jacobian up to date."""
        data = self._data
        data.qpos[self._qpos] = joints
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_jacSite(self._model, data, self._jacobian[:3], self._jacobian[3:], self._site)
        present = data.site_xmat[self._site].reshape(3, 3)
        # The skew part of the remaining rotation is sin(angle) times its axis.
        rest = rotation @ present.T
        turn = (rest[2, 1] - rest[1, 2], rest[0, 2] - rest[2, 0], rest[1, 0] - rest[0, 1])
        error = np.concatenate((position - data.site_xpos[self._site], 0.5 * np.array(turn)))
        return error * min(1.0, self._max_error / (float(np.linalg.norm(error)) + 1e-12))

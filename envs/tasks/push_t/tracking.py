"""Exact tracking of planned positions through Push-T's PD control."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .geometry import WORLD_SIZE

Array = NDArray[np.float64]

_K_P = 100.0
_K_V = 20.0
_TIMESTEP = 0.005
_N_SUBSTEPS = 20


class PointTracker:
    """Chooses the targets that bring the pusher onto a planned position at every control step.

    The pusher under PD control is a linear system, x' = A x + B u over one control step for
    x = (position, velocity); the target u is solved from the position wanted at the step's end.
    Its zero lies inside the unit circle, so this one-step inverse is stable. The velocity, which
    is not observed, is carried along by the same system.
    """

    def __init__(self) -> None:
        self._velocity = np.zeros(2)

    def target(self, position: Array, reference: Array) -> Array:
        """Return the target `[2]`, px, that takes the pusher from one place `[2]` to another."""
        state = np.stack([position, self._velocity])
        target: Array = ((reference - _A[0] @ state) / _B[0]).clip(0.0, WORLD_SIZE)
        self._velocity = _A[1] @ state + _B[1] * target
        return target


def glide(corners: Array, speed: float, acceleration: float) -> Array:
    """Return positions `[T, 2]` at the coming steps along a polyline, from rest to rest.

    Args:
        corners: of the polyline, `[n, 2]`.
        speed: the highest, px per step.
        acceleration: by which the speed rises and falls, px per step squared.
    """
    legs = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    marks = np.concatenate([[0.0], legs.cumsum()])
    length = marks[-1]
    top = min(speed, float(np.sqrt(length * acceleration)))
    if top < 1e-6:
        return corners[-1:]
    duration = length / top + top / acceleration
    n_steps = int(np.ceil(duration))
    time = np.arange(1, n_steps + 1) * (duration / n_steps)
    ramp = top / acceleration
    rising = np.minimum(time, ramp) ** 2 * acceleration / 2
    falling = np.maximum(time - (duration - ramp), 0.0) ** 2 * acceleration / 2
    travelled = rising + top * np.maximum(time - ramp, 0.0) - falling
    return np.stack([np.interp(travelled, marks, corners[:, axis]) for axis in (0, 1)], axis=1)


def _discretise() -> tuple[Array, Array]:
    """Return A `[2, 2]` and B `[2]` of one control step of MuJoCo's implicit integrator."""
    # Columns: response to the position, to the velocity and to the target.
    position = np.array([1.0, 0.0, 0.0])
    velocity = np.array([0.0, 1.0, 0.0])
    target = np.array([0.0, 0.0, 1.0])
    for _ in range(_N_SUBSTEPS):
        force = _K_P * (target - position) - _K_V * velocity
        velocity = velocity + _TIMESTEP * force / (1 + _TIMESTEP * _K_V)
        position = position + _TIMESTEP * velocity
    return np.stack([position[:2], velocity[:2]]), np.array([position[2], velocity[2]])


_A, _B = _discretise()

"""Other readings of recorded actions: turned round, scaled, absolute for relative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .demonstrations import Demonstrations

Array = NDArray[np.float64]
#: (recorded action `[Da]`, observation of the environment `[Do]`) -> the action to execute `[Da]`.
Adapt = Callable[[Array, Array], Array]


def readings_of(demonstrations: Demonstrations, gain: float) -> dict[str, Adapt]:
    """Return other ways to execute a recorded action, by what they are.

    Args:
        demonstrations: for what an action moves.
        gain: factor of the actions under which the motions match best.
    """
    readings: dict[str, Adapt] = {"the opposite sign": lambda action, _: -action}
    dims = demonstrations.action.shape[1]
    if 1 < dims <= 8:
        for index in range(dims):
            sign = np.where(np.arange(dims) == index, -1.0, 1.0)
            readings[f"the opposite sign of action[{index}]"] = partial(_scaled, sign)
    if 1e-3 < gain < 1e3:
        readings["gain"] = partial(_scaled, np.full(dims, gain))
    moved = _moved_dimensions(demonstrations)
    if moved is not None:
        columns, slope = moved
        readings["an absolute action made of it"] = partial(_absolute, columns, slope)
        readings["a relative action made of it"] = partial(_relative, columns, slope)
    return readings


def _scaled(factor: Array, action: Array, _: Array) -> Array:
    return np.asarray(action * factor)


def _absolute(columns: NDArray[np.int64], slope: Array, action: Array, obs: Array) -> Array:
    return np.asarray(obs[columns] + slope * action)


def _relative(columns: NDArray[np.int64], slope: Array, action: Array, obs: Array) -> Array:
    return np.asarray((action - obs[columns]) / np.where(slope == 0, 1, slope))


def _moved_dimensions(demonstrations: Demonstrations) -> tuple[NDArray[np.int64], Array] | None:
    """Return the observation that each action dimension moves, and by how much one unit does.

    For a relative action that is the slope of the change; for an absolute one, 1.
    """
    inner = np.concatenate([np.arange(r.start, r.stop - 1) for r in demonstrations.rows()])
    change = demonstrations.obs[inner + 1] - demonstrations.obs[inner]
    action = demonstrations.action[inner]
    columns = []
    slopes = []
    for index in range(action.shape[1]):
        relative = _correlations(action[:, index], change)
        absolute = _correlations(action[:, index], demonstrations.obs[inner + 1])
        if max(relative.max(), absolute.max()) < 0.3:
            return None
        is_relative = relative.max() >= absolute.max() or relative.max() > 0.7
        column = int((relative if is_relative else absolute).argmax())
        columns.append(column)
        variance = float(action[:, index].var())
        covariance = float(np.cov(action[:, index], change[:, column])[0, 1])
        slopes.append(covariance / max(variance, 1e-12) if is_relative else 1.0)
    return np.array(columns), np.array(slopes)


def _correlations(values: Array, columns: Array) -> Array:
    """Return the absolute correlation of values `[n]` with each column of `[n, D]`."""
    centred = values - values.mean()
    others = columns - columns.mean(0)
    scale = np.sqrt(np.square(centred).sum() * np.square(others).sum(0))
    return np.asarray(np.abs(centred @ others) / np.maximum(scale, 1e-12))

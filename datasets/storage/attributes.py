"""What a data set says of itself beside the numbers: rate, action, environment, origin."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import metadata
from numbers import Real
from typing import Any

from ..errors import DatasetError, nearest

SCHEMA_VERSION = 1
ACTION_MEANINGS = ("absolute", "relative")
ACTION_FRAMES = ("joint", "base", "world", "tool", "image")
ACTION_ROTATIONS = (
    "none",
    "angle",
    "euler",
    "axis_angle",
    "quaternion_wxyz",
    "quaternion_xyzw",
    "rotation_6d",
    "matrix",
)
ACTION_GRIPPERS = ("none", "positive_opens", "positive_closes")
RECORDED_PACKAGES = ("kinoise", "zarr", "numpy", "gymnasium", "mujoco", "gym-pusht")

_ACTION_DEFAULTS: dict[str, Any] = {
    "meaning": None,
    "frame": None,
    "rotation": None,
    "gripper": None,
    "units": None,
    "low": None,
    "high": None,
}
_ACTION_CHOICES = {
    "meaning": ACTION_MEANINGS,
    "frame": ACTION_FRAMES,
    "rotation": ACTION_ROTATIONS,
    "gripper": ACTION_GRIPPERS,
}
_DEFAULTS: dict[str, Any] = {
    "control_rate_hz": None,
    "action": None,
    "env_id": None,
    "env_kwargs": None,
    "source": None,
    "extra": None,
}


def complete_attributes(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Check the given attributes and fill in the rest.

    Args:
        attributes: Any of `control_rate_hz` (Hz), `action` (a mapping with `meaning`
            "absolute" or "relative", `frame` of `ACTION_FRAMES`, `rotation` of
            `ACTION_ROTATIONS`, `gripper` of `ACTION_GRIPPERS`, `units`, and `low` and `high` of
            shape [Da]), `env_id`, `env_kwargs`, `source`, and `extra` for whatever else is to be
            kept (JSON values).

    Returns:
        Every attribute, unknown ones as None, with `kinoise_schema` and `versions` added.

    Raises:
        DatasetError: A name is unknown or a value cannot be what it says.
    """
    given = dict(attributes or {})
    for derived in ("kinoise_schema", "versions"):
        given.pop(derived, None)
    _refuse_unknown(given, _DEFAULTS, "attribute")

    complete = {"kinoise_schema": SCHEMA_VERSION, **_DEFAULTS, **given}
    complete["control_rate_hz"] = _rate(complete["control_rate_hz"])
    complete["action"] = _complete_action(_mapping("action", complete["action"]))
    complete["env_kwargs"] = _mapping("env_kwargs", complete["env_kwargs"])
    complete["versions"] = installed_versions()
    return _as_json(complete)


def installed_versions() -> dict[str, str]:
    """Return the versions of those packages that decide what a recording means."""
    versions: dict[str, str] = {}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _rate(value: Any) -> Any:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and value > 0):
        raise DatasetError(f"control_rate_hz is {value!r}; give a positive number of Hz")
    return value


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise DatasetError(f"the attribute {name} is {value!r}; give a mapping of names to values")
    return dict(value or {})


def _complete_action(given: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown(given, _ACTION_DEFAULTS, "action attribute")
    action = {**_ACTION_DEFAULTS, **given}
    for name, choices in _ACTION_CHOICES.items():
        if action[name] not in (None, *choices):
            known = " or ".join(repr(choice) for choice in choices)
            raise DatasetError(f"action {name} {action[name]!r} is unknown; give {known}")
    low = action["low"] = _limit("low", action["low"])
    high = action["high"] = _limit("high", action["high"])
    if low is not None and high is not None:
        _check_limits(low, high)
    return action


def _limit(name: str, values: Any) -> list[float] | None:
    if values is None:
        return None
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"the action limit {name} is {values!r}; give one number per action dimension"
        ) from error


def _check_limits(low: list[float], high: list[float]) -> None:
    if len(low) != len(high):
        raise DatasetError(
            f"the action limits differ in length: low has {len(low)} numbers, high {len(high)}; "
            "give one per action dimension"
        )
    for dimension, (lower, upper) in enumerate(zip(low, high, strict=True)):
        if not lower < upper:
            raise DatasetError(
                f"action limits of dimension {dimension}: low {lower} is not below high {upper}; "
                "swap or correct them"
            )


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], what: str) -> None:
    for name in given:
        if name not in known:
            raise DatasetError(f"unknown {what} {name!r}{nearest(name, known)}")


def _as_json(attributes: dict[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(json.dumps(attributes, default=_plain))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"an attribute cannot be written as JSON ({error})") from error
    return loaded


def _plain(value: Any) -> Any:
    """Turn numpy's arrays and scalars into lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")

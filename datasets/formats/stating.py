"""What is stated of an imported data set beside its numbers, by the format or by the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..keys import ACTION
from ..storage import ReplayBuffer
from ..storage.attributes import ACTION_FRAMES, ACTION_GRIPPERS, ACTION_MEANINGS, ACTION_ROTATIONS
from .fingerprint import fingerprint
from .importer import ForeignData


def action_given(**values: Any) -> dict[str, Any]:
    """Return what the user gave of the action's meaning."""
    return _without_none(values)


def attributes_of(
    name: str,
    source: Path,
    data: ForeignData,
    given: Mapping[str, Any],
    choices: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the format states, with what the caller gave in its place, and the origin."""
    origin = {
        "format": name,
        "name": source.name,
        "attributes": dict(data.kept),
        "mapped": dict(data.mapped),
        "converted": list(data.converted),
        "notes": list(data.notes),
        "choices": _without_none(choices),
        "fingerprint": fingerprint(source),
    }
    action = {**data.stated.get("action", {}), **given["action"]}
    return {**data.stated, **_without_none(given), "action": action, "source": origin}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def check_limits_fit(data: ForeignData, action: Mapping[str, Any]) -> None:
    """Raise `DatasetError` unless the action's limits have its dimensions."""
    shape = data.shapes[ACTION]
    for name in ("low", "high"):
        if action[name] is not None and (len(action[name]),) != shape:
            raise DatasetError(
                f"action_{name} has {len(action[name])} numbers, an action has shape {shape}; "
                "give one per dimension"
            )


def unknown(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return {what is not known: the setting that states it}."""
    action = attributes.get("action") or {}
    limits = action.get("low") if action.get("low") is not None else action.get("high")
    facts = {
        "control rate": (attributes.get("control_rate_hz"), "control_rate_hz=HZ"),
        "environment": (attributes.get("env_id"), "env_id=ID"),
        "action meaning": (action.get("meaning"), _setting("meaning", ACTION_MEANINGS)),
        "action frame": (action.get("frame"), _setting("frame", ACTION_FRAMES)),
        "rotation form": (action.get("rotation"), _setting("rotation", ACTION_ROTATIONS)),
        "gripper sign": (action.get("gripper"), _setting("gripper", ACTION_GRIPPERS)),
        "action units": (action.get("units"), "action_units=TEXT"),
        "action limits": (limits, "action_low=[...] action_high=[...]"),
    }
    return {name: setting for name, (value, setting) in facts.items() if value is None}


def _setting(name: str, choices: tuple[str, ...]) -> str:
    return f"action_{name}={'|'.join(choices)}"


def unstated(attributes: Mapping[str, Any]) -> list[str]:
    """Return a note for what the format does not say and the caller did not."""
    missing = unknown(attributes)
    if not missing:
        return []
    said = ", ".join(f"{name} ({setting})" for name, setting in missing.items())
    return [f"unknown, because neither the format nor a setting states it: {said}"]


def outside_limits(buffer: ReplayBuffer) -> list[str]:
    """Return a note when actions leave the limits they are said to keep."""
    action = buffer.attrs["action"]
    lower = -np.inf if action["low"] is None else np.asarray(action["low"])
    upper = np.inf if action["high"] is None else np.asarray(action["high"])
    outside = sum(
        int(((rows < lower) | (rows > upper)).any(axis=-1).sum())
        for _, rows in buffer.blocks(ACTION)
    )
    if outside:
        return [f"{outside} of {buffer.n_steps} actions lie outside the given limits"]
    return []

"""What robosuite's controller configurations say of an action.

https://robosuite.ai/docs/modules/controllers.html: `control_delta` true (its default) commands a
change of the pose; the arm's numbers lie in [input_min, input_max] and stand for
[output_min, output_max]; a gripper opens at -1 and closes at +1. Nothing else is read into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Controllers of the end effector and how they write its rotation.
ROTATIONS = {"OSC_POSE": "axis_angle", "OSC_POSITION": "none", "IK_POSE": None}
FRAMES = ("base", "world")
ASK = "give action_meaning=absolute or relative"


def action_of(env_kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what the arguments of an environment state of its action, and notes on it."""
    controller = _controller(env_kwargs.get("controller_configs"))
    kind = controller.get("type")
    if not isinstance(kind, str):
        return {}, [f"env_args name no controller; {ASK}"]

    action: dict[str, Any] = {"gripper": "positive_closes"}
    notes = ["gripper: +1 closes, as robosuite's do; change it with action_gripper=..."]
    if kind in ROTATIONS:
        action["meaning"] = "relative" if _is_delta(controller) else "absolute"
        action["rotation"] = ROTATIONS[kind]
        action["units"] = _units(controller)
        if controller.get("input_ref_frame") in FRAMES:
            action["frame"] = controller["input_ref_frame"]
        notes.append(f"controller {kind}: the action is {action['meaning']}")
    elif kind.startswith("JOINT_"):
        action["frame"] = "joint"
        notes.append(f"controller {kind[:60]}: {ASK}")
    else:
        notes.append(f"unknown controller {kind[:60]!r}: {ASK}")
    return action, notes


def _is_delta(controller: Mapping[str, Any]) -> bool:
    # robosuite 1.5 writes input_type, older ones control_delta.
    if controller.get("input_type") in ("absolute", "delta"):
        return bool(controller["input_type"] == "delta")
    return bool(controller.get("control_delta", True))


def _units(controller: Mapping[str, Any]) -> str | None:
    """Say what a full deflection means, where that is written."""
    most = controller.get("output_max")
    if not isinstance(most, list) or not all(isinstance(each, int | float) for each in most[:6]):
        return None
    return f"1 stands for {[float(each) for each in most[:6]]} (m, rad)"


def _controller(config: Any) -> Mapping[str, Any]:
    """Return the configuration of the (first) arm: robosuite 1.5 nests it."""
    if not isinstance(config, Mapping):
        return {}
    parts = config.get("body_parts")
    if not isinstance(parts, Mapping):
        return config
    nested = parts.get("arms")
    arms = nested if isinstance(nested, Mapping) else parts
    return next((part for part in arms.values() if isinstance(part, Mapping)), {})

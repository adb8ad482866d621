"""What a data set says of itself: what Kinoise has a place for, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .description import Description
from .episodes import Episode, read_tasks
from .features import MARK, Feature

#: Of the action, in the attributes that `export` leaves. The environment is not among them: its
#: name is one that would be imported, which a downloaded file must not decide.
ACTION_PARTS = ("meaning", "units", "low", "high")
MOST_KEPT = 1 << 16
LONGEST_NOTE = 1 << 10


def stated(about: Description) -> dict[str, Any]:
    """Return the rate, and what `export` noted of the action."""
    mark = about.raw.get(MARK)
    action = mark.get("action") if isinstance(mark, dict) else None
    parts = {
        name: action[name]
        for name in ACTION_PARTS
        if isinstance(action, dict) and action.get(name) is not None
    }
    return {"control_rate_hz": about.fps, "action": parts}


def kept(
    about: Description, features: Iterable[Feature], episodes: Sequence[Episode]
) -> dict[str, Any]:
    """Return the task in words, the robot, and the names of features and their parts.

    `episode_tasks` holds a place in `tasks` an episode, where there is more than one.
    """
    listed = read_tasks(about) or []
    shown = dict.fromkeys(task for episode in episodes for task in episode.tasks[:1])
    tasks = list(dict.fromkeys([*listed, *shown]))[:MOST_KEPT]
    found: dict[str, Any] = {
        "codebase_version": about.version,
        "tasks": tasks,
        "features": {each.key: each.name for each in features},
        "names": _part_names(about, features),
    }
    robot = about.raw.get("robot_type")
    if isinstance(robot, str):
        found["robot_type"] = robot[:LONGEST_NOTE]
    if len(tasks) > 1:
        places = {task: place for place, task in enumerate(tasks)}
        found["episode_tasks"] = [
            places.get(episode.tasks[0], -1) if episode.tasks else -1 for episode in episodes
        ]
    return found


def _part_names(about: Description, features: Iterable[Feature]) -> dict[str, Any]:
    """Return what the numbers of a vector are called: joints and the like."""
    names: dict[str, Any] = {}
    for feature in features:
        described = about.raw["features"][feature.name].get("names")
        if feature.kind == "number" and described and len(str(described)) < MOST_KEPT:
            names[feature.key] = described
    return names

"""How far do rollouts go from the demonstrations, as time goes on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..finding import HINT, Clue, ramp
from ..regression import neighbours, thinned
from ..rollouts import fresh, observations

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

MOST_REFERENCE = 8000
#: Parts in which the time of an episode is divided.
PARTS = 8


def clues(case: Case) -> Sequence[Clue]:
    """Say how much farther failing rollouts end from the data than the data from themselves."""
    course = case.once(courses)
    if course is None or not np.isfinite(course["failures"]).any():
        return []
    usual = max(float(np.nanmedian(course["demonstrations"])), 1e-9)
    late = float(np.nanmean(course["failures"][PARTS // 2 :])) / usual
    early = float(course["failures"][0]) / usual
    text = (
        f"failing rollouts begin {early:.1f} and end {late:.1f} times as far from the nearest "
        "demonstration as another demonstration would be"
    )
    return [Clue("drift", HINT, 0.7 * ramp(late, 2.0, 6.0), text)]


def courses(case: Case) -> dict[str, Array] | None:
    """Return the distance to the nearest demonstration over the parts of an episode's time.

    Returns:
        "demonstrations" (to others), "successes" and "failures", `[PARTS]` each, in spreads, NaN
        where there are none; None without rollouts.
    """
    episodes = case.once(fresh)
    if not episodes:
        return None
    demonstrations = case.demonstrations
    scale = demonstrations.spread()
    rows = thinned(len(demonstrations.obs), MOST_REFERENCE)
    reference = demonstrations.obs[rows] / scale
    group = demonstrations.episode_of[rows]
    found = {
        name: _course([observations(case, e) / scale for e in some], reference)
        for name, some in (
            ("successes", [e for e in episodes if e.success]),
            ("failures", [e for e in episodes if not e.success]),
        )
    }
    some = list(demonstrations.rows())[:: max(1, demonstrations.n_episodes // 20)]
    numbers = [int(demonstrations.episode_of[each.start]) for each in some]
    paths = [demonstrations.obs[each] / scale for each in some]
    return {"demonstrations": _course(paths, reference, numbers, group), **found}


def _course(
    paths: Sequence[Array],
    reference: Array,
    numbers: Sequence[int] = (),
    group: NDArray[np.int64] | None = None,
) -> Array:
    """Return the median distance `[PARTS]` of paths to the reference over their time."""
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for index, path in enumerate(paths):
        own = None if group is None else np.full(len(path), numbers[index])
        _, away = neighbours(path, reference, query_group=own, reference_group=group, k=1)
        for number, stretch in enumerate(np.array_split(away[:, 0], PARTS)):
            parts[number] += stretch[np.isfinite(stretch)].tolist()
    return np.array([np.median(part) if part else np.nan for part in parts])

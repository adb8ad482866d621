"""Does the past say more of the action than the policy sees of it?

The action is told from the nearest observations of other episodes, with the history that the
policy has. If what is left can be told from how the observations changed before, something is
hidden that a longer history, or another observation, would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..demonstrations import spread_of
from ..finding import CAUSE, HINT, Clue, ramp
from ..regression import explained, left_out_residuals, neighbours, thinned

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: Steps that are looked at, and further steps of the past that are tried.
MOST = 4000
FURTHER = 2
FEWEST = 150


def clues(case: Case) -> Sequence[Clue]:
    """Compare what is told from the policy's history with what a longer one adds."""
    gain = _gain(case)
    seen = case.policy.n_obs_steps
    text = (
        f"{FURTHER} more steps of the past explain {100 * gain:.0f} % of the actions that the "
        f"last {seen} do not"
    )
    # Smooth actions are told by their past even where nothing is hidden, all the more beyond the
    # velocity that two steps show.
    kind = CAUSE if seen == 1 else HINT
    return [Clue("history", kind, ramp(gain, 0.15, 0.5), text), *_chunk(case)]


def _gain(case: Case) -> float:
    """Return the part of the residual variance that the longer past explains; 0 if none."""
    demonstrations = case.demonstrations
    seen = case.policy.n_obs_steps
    scaled = demonstrations.obs / demonstrations.spread()
    action = demonstrations.action / spread_of(demonstrations.action)
    begins = demonstrations.begins[demonstrations.episode_of]
    rows = np.flatnonzero(np.arange(len(scaled)) - begins >= seen + FURTHER - 1)
    if len(rows) < FEWEST or demonstrations.n_episodes < 4:
        return 0.0
    rows = rows[thinned(len(rows), MOST)]
    episode = demonstrations.episode_of[rows]
    present = np.concatenate([scaled[rows - lag] for lag in range(seen)], axis=1)
    nearest, distance = neighbours(present, present, query_group=episode, reference_group=episode)
    if not np.isfinite(distance).all():
        return 0.0

    # What neighbours tell is biased where they lie on one side: their own offsets are told of.
    offset = present - present[nearest].mean(1)
    changes = [
        scaled[rows - lag] - scaled[rows - lag - 1] for lag in range(seen - 1, seen - 1 + FURTHER)
    ]
    past = np.concatenate(changes, axis=1)
    past = past - past[nearest].mean(1)
    left = action[rows] - action[rows][nearest].mean(1)
    before = left_out_residuals(np.concatenate([present, offset], 1), left, episode)
    after = left_out_residuals(np.concatenate([present, offset, past], 1), left, episode)
    told = explained(before, after)
    # Dimensions of the action that are told anyway do not need the past.
    needed = np.square(before).mean(0) > 0.02
    return float(told[needed].max()) if needed.any() else 0.0


def _chunk(case: Case) -> list[Clue]:
    """Say whether executed steps outlast what the data's actions have to do with one another."""
    policy = case.policy
    action = case.demonstrations.action / spread_of(case.demonstrations.action)
    ahead = policy.n_action_steps - 1
    if ahead == 0:
        return []
    pairs = [
        (action[rows][:-ahead], action[rows][ahead:])
        for rows in case.demonstrations.rows()
        if rows.stop - rows.start > ahead
    ]
    if not pairs:
        text = f"no demonstration is longer than the {ahead + 1} steps that are executed at once"
        return [Clue("replanning", HINT, 0.6, text)]
    return []

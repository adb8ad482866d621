"""Do the demonstrations' actions do in the environment what they did when they were recorded?

Some demonstrations are executed again from their own seeds. Where the observations differ, other
readings of the actions are executed too; the one that reproduces the recording names the cause.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..finding import FACT, HINT, Clue, ramp
from ..readings import Adapt, readings_of
from ..rollouts import Replayed, bounds, environment, replay

if TYPE_CHECKING:
    from ..case import Case

Array = NDArray[np.float64]

#: Demonstrations that are executed again, and steps of each that are compared.
N_DEMONSTRATIONS = 6
N_STEPS = 40
#: Difference, as a part of the motion, up to which a recording counts as reproduced.
SAME = 0.1
#: Steps by which observations may be late or early.
SHIFTS = (-3, -2, -1, 1, 2, 3)
#: Ratios of units: a factor near one of these is a matter of units, not of dynamics.
UNITS = (10.0, 57.29578, 100.0, 127.5, 255.0, 1000.0)
#: Correlation of motions that differ in their size alone.
ALIKE = 0.95
#: Part of a replay's budget.
SHARE = 0.1


@dataclass(frozen=True)
class Recording:
    """A demonstration: its seed, observations `[T, Do]` and actions `[T, Da]`."""

    seed: int
    obs: Array
    action: Array


@dataclass(frozen=True)
class Outcome:
    """What replaying showed.

    Attributes:
        start: median distance of the first observations, in spreads of the data.
        difference: median distance of the paths, as a part of their motion.
        likeness: correlation of the motions.
        success: share of whole demonstrations that succeed again; None where none was executed
            to its end.
        readings: name -> difference under another reading of the actions or of time.
        gain: factor of the actions under which the motions match best.
        chance: difference of two replays of the same demonstrations.
    """

    start: float
    difference: float
    likeness: float
    success: float | None
    readings: Mapping[str, float]
    gain: float
    chance: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether the replays differ from the recordings by more than from one another."""
        return self.difference > max(SAME, 3 * self.chance)


def clues(case: Case) -> Sequence[Clue]:
    """Execute demonstrations again and say what differs."""
    outcome = case.once(outcome_of)
    if outcome is None:
        return []
    if outcome.start > SAME:
        text = f"the same seeds start {outcome.start:.2f} spreads away from the demonstrations"
        return [Clue("initial_states", HINT, ramp(outcome.start, SAME, 0.5), text)]
    if outcome.differs:
        return [_difference(case, outcome)]
    if outcome.success is not None and outcome.success < 0.5:
        text = (
            f"replayed demonstrations show what they showed, and {100 * outcome.success:.0f} % of "
            "them count as successes"
        )
        return [Clue("success_rule", FACT, ramp(outcome.success, 0.5, 0.1), text)]
    return []


def outcome_of(case: Case) -> Outcome | None:
    """Return what replaying showed; None where no demonstration can be replayed."""
    recordings = _recordings(case)
    if not recordings:
        case.notes.append(
            "replay: the demonstrations' seeds are unknown, or their actions exceed the limits"
        )
        return None
    with environment(case) as env:
        began = time.monotonic()
        plain = _replayed(case, env, recordings)
        each = time.monotonic() - began
        unit = _robust_unit(case.demonstrations.spread(), plain)
        pairs = _both(plain, recordings)
        start = float(np.median([_away(p.obs[0], r.obs[0], unit) for p, r in pairs]))
        difference, likeness = _compare(plain, recordings, unit)
        gain = _gain(plain, recordings, unit)
        outcome = Outcome(
            start=start,
            difference=difference,
            likeness=likeness,
            success=None,
            readings=_shifts(plain, recordings, unit),
            gain=gain,
            chance=_chance(case, env, recordings, plain, unit),
        )
        if start > SAME:
            return outcome
        if not outcome.differs:
            whole = [replay(case, env, r.seed, r.action).success for r in recordings]
            return replace(outcome, success=float(np.mean(whole)))

        others = readings_of(case.demonstrations, gain)
        if case.budget.affords(each, SHARE, 0, len(others)) < len(others):
            return outcome
        tried = {
            name: _compare(_replayed(case, env, recordings, adapt), recordings, unit)[0]
            for name, adapt in others.items()
        }
        return replace(outcome, readings={**outcome.readings, **tried})


def _replayed(
    case: Case, env: Any, recordings: Sequence[Recording], adapt: Adapt | None = None
) -> list[Replayed]:
    """Return the beginnings of the recordings, executed again."""
    return [replay(case, env, r.seed, r.action[:N_STEPS], adapt) for r in recordings]


def _chance(
    case: Case,
    env: Any,
    recordings: Sequence[Recording],
    plain: Sequence[Replayed],
    unit: Array,
) -> float:
    """Return by how much two replays of the same recordings differ."""
    again = _replayed(case, env, recordings[:2])
    shown = [Recording(r.seed, p.obs, r.action) for p, r in _both(plain[:2], recordings[:2])]
    return _compare(again, shown, unit)[0]


def _difference(case: Case, outcome: Outcome) -> Clue:
    """Return the clue for demonstrations that start alike and go on otherwise."""
    seen = (
        f"replayed demonstrations end {100 * min(outcome.difference, 99):.0f} % of their motion "
        "away from the recording"
    )
    name, least = min(outcome.readings.items(), key=lambda item: item[1], default=("", np.inf))
    if least < 0.35 * outcome.difference and least < 0.3:
        cause, effect, words = _meaning(name, outcome)
        return Clue(cause, FACT, effect, f"{seen}; {words} ({100 * least:.0f} %)")
    if outcome.likeness > ALIKE and _is_unit(outcome.gain):
        text = f"{seen}; it is the recording's, {outcome.gain:.3g} times as small: another unit"
        return Clue("action_convention", FACT, 1.0, text)
    versions = _versions(case)
    effect = ramp(outcome.difference, SAME, 0.3)
    if outcome.likeness > 0.5:
        text = f"{seen}, in the same direction{versions}"
        return Clue("simulator", FACT, 0.9 * effect, text)
    return Clue("simulator", HINT, effect, f"{seen}, and not in the same direction{versions}")


def _meaning(name: str, outcome: Outcome) -> tuple[str, float, str]:
    """Return the cause that a reading speaks for, its effect, and what it says."""
    if name.startswith("shift"):
        steps = int(name.split()[1])
        words = f"shown {abs(steps)} steps {'later' if steps > 0 else 'earlier'} they agree"
        return "delay", ramp(abs(steps), 0.0, 2.0), words
    if name == "gain":
        words = f"actions times {outcome.gain:.3g} reproduce it"
        if _is_unit(outcome.gain):
            return "action_convention", 1.0, f"{words}: another unit"
        return "simulator", ramp(abs(np.log(outcome.gain)), 0.02, 0.3), words
    return "action_convention", 1.0, f"{name} reproduces it"


def _is_unit(gain: float) -> bool:
    """Return whether a factor is that of two units of one quantity."""
    factor = max(gain, 1 / gain) if gain > 0 else 0.0
    return any(abs(factor / unit - 1) < 0.1 for unit in UNITS)


def _recordings(case: Case) -> list[Recording]:
    """Return demonstrations with seeds, as far as their actions are within the limits."""
    demonstrations = case.demonstrations
    limits = bounds(case)
    low, high = limits if limits is not None else (-np.inf, np.inf)
    slack = 1e-3 * np.nan_to_num(np.asarray(high) - np.asarray(low), posinf=0.0)
    found = []
    for number in np.flatnonzero(demonstrations.seeds >= 0):
        rows = slice(int(demonstrations.begins[number]), int(demonstrations.ends[number]))
        action = demonstrations.action[rows]
        outside = ((action < low - slack) | (action > high + slack)).any(1)
        length = int(outside.argmax()) if outside.any() else len(action)
        if length >= min(5, len(action)):
            seed = int(demonstrations.seeds[number])
            found.append(Recording(seed, demonstrations.obs[rows][:length], action[:length]))
        if len(found) == N_DEMONSTRATIONS:
            break
    return found


def _both(
    replayed: Sequence[Replayed], recordings: Sequence[Recording]
) -> list[tuple[Replayed, Recording]]:
    return list(zip(replayed, recordings, strict=True))


def _robust_unit(unit: Array, replayed: Sequence[Replayed]) -> Array:
    """Return units that no dimension hardly varying in the data alone can blow up."""
    shown = np.concatenate([each.obs for each in replayed]).std(0)
    return np.where(unit < 0.05 * shown, np.inf, unit)


def _away(a: Array, b: Array, unit: Array) -> float:
    return float(np.sqrt(np.square((a - b) / unit).max()))


def _motions(replayed: Replayed, recording: Recording, unit: Array) -> tuple[Array, Array]:
    """Return both motions since the start `[n, Do]`, over the steps that both have."""
    count = min(len(replayed.obs), len(recording.obs), N_STEPS)
    shown = (replayed.obs[:count] - replayed.obs[0]) / unit
    recorded = (recording.obs[:count] - recording.obs[0]) / unit
    return shown[1:], recorded[1:]


def _compare(
    replayed: Sequence[Replayed], recordings: Sequence[Recording], unit: Array
) -> tuple[float, float]:
    """Return the median distance of the paths by their motion, and the motions' correlation."""
    parts = []
    products = np.zeros(3)
    for each, recording in _both(replayed, recordings):
        shown, recorded = _motions(each, recording, unit)
        size = np.sqrt(np.square(recorded).sum())
        if size > 0:
            parts.append(float(np.sqrt(np.square(shown - recorded).sum()) / size))
        products += [(shown * recorded).sum(), np.square(shown).sum(), np.square(recorded).sum()]
    likeness = products[0] / max(float(np.sqrt(products[1] * products[2])), 1e-12)
    return float(np.median(parts)) if parts else 0.0, float(likeness)


def _gain(replayed: Sequence[Replayed], recordings: Sequence[Recording], unit: Array) -> float:
    """Return by how much more the recorded motions went, over their first steps."""
    above = 0.0
    below = 0.0
    for each, recording in _both(replayed, recordings):
        shown, recorded = (motion[:8] for motion in _motions(each, recording, unit))
        above += float((shown * recorded).sum())
        below += float(np.square(shown).sum())
    return above / max(below, 1e-12)


def _shifts(
    replayed: Sequence[Replayed], recordings: Sequence[Recording], unit: Array
) -> dict[str, float]:
    """Return the differences when the environment's observations count as late by some steps."""
    found: dict[str, float] = {}
    for shift in SHIFTS:
        shown_from, recorded_from = max(shift, 0), max(-shift, 0)
        moved = [
            (
                Replayed(p.obs[shown_from:], p.success),
                Recording(r.seed, r.obs[recorded_from:], r.action),
            )
            for p, r in _both(replayed, recordings)
        ]
        moved = [pair for pair in moved if min(len(pair[0].obs), len(pair[1].obs)) > 3]
        if not moved:
            continue
        parts = []
        for shown, recorded in moved:
            count = min(len(shown.obs), len(recorded.obs), N_STEPS)
            gap = (shown.obs[:count] - recorded.obs[:count]) / unit
            motion = (recorded.obs[:count] - recorded.obs[0]) / unit
            size = np.sqrt(np.square(motion).sum())
            parts.append(float(np.sqrt(np.square(gap).sum()) / max(float(size), 1e-12)))
        found[f"shift {shift}"] = float(np.median(parts))
    return found


def _versions(case: Case) -> str:
    """Return which packages have another version than the data were recorded with."""
    from kinoise.datasets.storage.attributes import installed_versions

    recorded: Any = case.buffer.attrs.get("versions") or {}
    here = installed_versions()
    others = [
        f"{name} {recorded[name]} there, {here[name]} here"
        for name in recorded
        if name in here
        and name not in ("kinoise", "zarr", "numpy")
        and recorded[name] != here[name]
    ]
    return f"; {', '.join(others)}" if others else ""

"""Numbers of the action that are steps of a known length: so far does an observed column move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .meaning import ActionMeaning
from .sample import Numbers, Sample

# A step counts from this part of the longest one on.
MOVING = 0.02
# Steps that must count, as a share of all, for a length to be known.
ENOUGH = 0.01
# How well a step's length must be met, as a part of the longest.
EXACT = 0.05
# Share of the steps that must move the column at all (it may be blocked), and by the length.
UNBLOCKED = 0.5
MET = 0.9


@dataclass(frozen=True)
class StepColumn:
    """A number of the action that is a step.

    Attributes:
        action: Its column in the action.
        obs: The column of the observations that it moves, among all of them.
        label: "key[i]" of that column.
        gain: How far a step of one unit moves it.
        blocked: Share of the steps that did not move it.
    """

    action: int
    obs: int
    label: str
    gain: float
    blocked: float


def find_steps(
    sample: Sample, meaning: ActionMeaning, periods: Sequence[float]
) -> tuple[StepColumn, ...]:
    """Compare each number of the action with how the observations change.

    Args:
        sample: Demonstrations.
        meaning: Of their actions; absolute ones are no steps.
        periods: One turn of each observed column, 0 where it does not wrap.
    """
    inside = np.ones(len(sample), dtype=np.bool_)
    inside[sample.ends - 1] = False
    change = (sample.obs[sample.shifted(1)] - sample.obs)[inside]
    for column, period in enumerate(periods):
        if period:
            change[:, column] -= period * np.round(change[:, column] / period)
    found = (
        max(_matches(sample, step, number, change), key=lambda each: -each.blocked, default=None)
        for number, step in enumerate(sample.action[inside].T)
        if meaning.of(number) != "absolute"
    )
    return tuple(each for each in found if each is not None)


def _matches(sample: Sample, step: Numbers, number: int, change: Numbers) -> Iterator[StepColumn]:
    """Yield the columns that a number of the action [n] moves by its length."""
    longest = np.abs(step).max(initial=0.0)
    moving = np.abs(step) > MOVING * longest
    if moving.sum() < max(2, ENOUGH * len(step)):
        return

    wanted = step[moving]
    for column, moved in enumerate(change[moving].T):
        went = moved != 0
        if went.mean() < UNBLOCKED:
            continue
        gain = float(np.median(moved[went] / wanted[went]))
        off = np.abs(moved - gain * wanted)[went]
        if gain and (off <= EXACT * abs(gain) * longest).mean() >= MET:
            label = sample.obs_labels[column]
            yield StepColumn(number, column, label=label, gain=gain, blocked=float(1 - went.mean()))

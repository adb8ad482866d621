"""What the numbers of an action mean: a place to be (absolute), or a step to take (relative)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .sample import Numbers, Sample

Meaning = Literal["absolute", "relative", "unclear"]

# Share of an action's variance that a column of the observations must explain.
CLEAR = 0.5
# By how much the better explanation must leave less unexplained than the other.
CLEARER = 0.5


@dataclass(frozen=True)
class Reading:
    """How one number of the action reads.

    Attributes:
        label: "action[i]".
        meaning: What it is found to be.
        column: Number of the observed column that follows it, -1 where none does.
        absolute: Share of its variance that the next value of a column explains, at best.
        relative: Share of its variance that the next change of a column explains, at best.
    """

    label: str
    meaning: Meaning
    column: int
    absolute: float
    relative: float


@dataclass(frozen=True)
class ActionMeaning:
    """How the action reads.

    Attributes:
        stated: What the data set says; None where it says nothing.
        readings: One a number of the action.
    """

    stated: str | None
    readings: tuple[Reading, ...]

    @property
    def found(self) -> Literal["absolute", "relative", "mixed", "unclear"]:
        """What the clear numbers agree on."""
        clear = {each.meaning for each in self.readings} - {"unclear"}
        if len(clear) > 1:
            return "mixed"
        return clear.pop() if clear else "unclear"

    @property
    def prevailing(self) -> str:
        """What was found, or stated where nothing is clear."""
        return self.stated or "unclear" if self.found in ("mixed", "unclear") else self.found

    def of(self, column: int) -> str:
        """Return the meaning of one number of the action, of the others where it is unclear."""
        own = self.readings[column].meaning
        return self.prevailing if own == "unclear" else own

    @property
    def contradicted(self) -> bool:
        """Whether the data set states one meaning and its numbers show the other."""
        return {self.stated, self.found} == {"absolute", "relative"}


def read_meaning(sample: Sample, stated: str | None) -> ActionMeaning:
    """Compare each number of the action with what the observations do next."""
    return ActionMeaning(stated=stated, readings=tuple(_readings(sample)))


def present_action(sample: Sample, meaning: ActionMeaning) -> Numbers:
    """Return [N, Da], the action that would hold still: the followed column, the last action, or 0.

    Absolute actions less this are displacements, as relative ones are by themselves.
    """
    present = np.zeros_like(sample.action)
    for number, reading in enumerate(meaning.readings):
        if meaning.of(number) != "absolute":
            continue
        if reading.meaning == "absolute":
            present[:, number] = sample.obs[:, reading.column]
        else:
            present[:, number] = sample.action[sample.shifted(-1), number]
    return present


def displacement(sample: Sample, meaning: ActionMeaning, steps: int) -> Numbers:
    """Return [N, Da], how far `steps` more actions after the present one lead from here."""
    absolute = np.array([meaning.of(i) == "absolute" for i in range(sample.action.shape[1])])
    target = sample.action[sample.shifted(steps)] - present_action(sample, meaning)
    total = np.zeros_like(sample.action)
    inside = np.ones(len(sample), dtype=np.bool_)
    previous = None
    for ahead in range(steps + 1):
        rows = sample.shifted(ahead)
        # Past the end nothing more is done: the clipped row is not counted again.
        inside = np.ones(len(rows), dtype=np.bool_) if previous is None else rows != previous
        total += np.where(inside[:, None], sample.action[rows], 0.0)
        previous = rows
    return np.where(absolute, target, total)


def _readings(sample: Sample) -> Iterator[Reading]:
    keep = np.ones(len(sample), dtype=np.bool_)
    keep[sample.ends - 1] = False
    following = sample.obs[sample.shifted(1)][keep]
    change = following - sample.obs[keep]
    # A velocity follows a relative action as a place follows an absolute one.
    places = np.where(_explained(following, change).max(1, initial=0.0) > CLEAR, 0.0, following)
    for label, action in zip(sample.action_labels, sample.action.T, strict=True):
        absolute, place = _best(action[keep], places)
        relative, mover = _best(action[keep], change)
        meaning = _judged(absolute, relative)
        column = {"absolute": place, "relative": mover}.get(meaning, -1)
        yield Reading(label, meaning, column=column, absolute=absolute, relative=relative)


def _judged(absolute: float, relative: float) -> Meaning:
    if max(absolute, relative) < CLEAR:
        return "unclear"
    if 1 - absolute < CLEARER * (1 - relative):
        return "absolute"
    return "relative" if 1 - relative < CLEARER * (1 - absolute) else "unclear"


def _best(action: Numbers, columns: Numbers) -> tuple[float, int]:
    """Return the share of the variance [n] that the best of columns [n, D] explains, and which."""
    if not columns.size or len(np.unique(action)) < 3:
        return 0.0, -1
    shares = _explained(action[:, None], columns)[0]
    best = int(np.argmax(shares))
    return float(shares[best]), best


def _explained(values: Numbers, columns: Numbers) -> Numbers:
    """Return [A, D], the share of each value's [n, A] variance that each column [n, D] explains.

    Only what moves in the same sense counts, and a constant explains nothing.
    """
    return np.asarray(np.maximum(_unit(values).T @ _unit(columns), 0.0) ** 2)


def _unit(columns: Numbers) -> Numbers:
    """Return columns [n, D] centred and of length 1; constant ones are 0."""
    if not len(columns):
        return columns
    centred = columns - columns.mean(0)
    lengths = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    size = np.abs(columns).max(0, initial=0.0) * np.sqrt(len(columns))
    varies = lengths > 1e-6 * size
    return np.asarray(np.where(varies, centred / np.where(varies, lengths, 1.0), 0.0))

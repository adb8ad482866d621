"""How each number of the observations and actions is spread: unused, saturated, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .angles import wrap_period
from .sample import TAILS, Numbers, Sample

# A column with fewer values than this is a switch (gripper, flag): its extremes are its values.
SWITCH_VALUES = 8
# A column whose usual value is held in all but this share of the steps is hardly used.
RARELY = 0.01
# Part of the range that the central 99 % must fill. A normal distribution fills .6 of the range
# of 25 000 steps, a Laplace distribution .45.
SLIVER = 0.2
# Share of the steps that stand at an end of the range before a column counts as saturated.
SATURATED = 0.05


@dataclass(frozen=True)
class Column:
    """One number of an observation or action over all steps.

    Attributes:
        label: "key[i]".
        low: Least value.
        high: Greatest value.
        central: The range that holds the central 99 %.
        n_values: Distinct values, counted up to `SWITCH_VALUES`.
        usual_share: Share of the steps that hold the commonest value.
        at_low: Share of the steps at the least value.
        at_high: Share of the steps at the greatest.
        period: 2 pi or 360 where the column is an angle that wraps, else 0.
    """

    label: str
    low: float
    high: float
    central: tuple[float, float]
    n_values: int
    usual_share: float
    at_low: float
    at_high: float
    period: float

    @property
    def constant(self) -> bool:
        """Whether it never changes."""
        return self.low == self.high

    @property
    def switch(self) -> bool:
        """Whether it takes a few values only."""
        return self.n_values < SWITCH_VALUES

    @property
    def rare(self) -> bool:
        """Whether it leaves its usual value in hardly any step."""
        return not self.constant and self.usual_share > 1 - RARELY

    @property
    def filling(self) -> float:
        """Part of the range that the central 99 % fill; 1 where there is no range."""
        return (
            1.0 if self.constant else (self.central[1] - self.central[0]) / (self.high - self.low)
        )

    @property
    def sliver(self) -> bool:
        """Whether a few outliers set the range, so that min-max scaling squeezes the rest."""
        return not (self.constant or self.rare or self.switch) and self.filling < SLIVER

    @property
    def saturated(self) -> float:
        """Share of the steps at either end of the range; 0 for switches and little used ones."""
        if self.constant or self.switch or self.rare:
            return 0.0
        return sum(share for share in (self.at_low, self.at_high) if share >= SATURATED)


def columns_of(sample: Sample) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the columns of the observations and those of the actions."""
    return (
        _described(sample, sample.obs, sample.obs_labels),
        _described(sample, sample.action, sample.action_labels),
    )


def _described(sample: Sample, values: Numbers, labels: Sequence[str]) -> tuple[Column, ...]:
    return tuple(_column(label, values[:, number], sample) for number, label in enumerate(labels))


def _column(label: str, values: Numbers, sample: Sample) -> Column:
    distinct, counts = np.unique(values, return_counts=True)
    low, high = float(distinct[0]), float(distinct[-1])
    near = 1e-6 * (high - low)
    first, last = np.quantile(values, TAILS)
    return Column(
        label=label,
        low=low,
        high=high,
        central=(float(first), float(last)),
        n_values=min(len(distinct), SWITCH_VALUES),
        usual_share=float(counts.max() / len(values)),
        at_low=float(np.mean(values <= low + near)),
        at_high=float(np.mean(values >= high - near)),
        period=wrap_period(values, sample.ends),
    )

"""How the observed columns depend on one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sample import Sample

MAX_ROWS = 20_000
# A direction with less of the variance than this is a combination of others.
NOTHING = 1e-6


@dataclass(frozen=True)
class Relations:
    """What the observed columns say more than once.

    Attributes:
        n_columns: Numbers of an observation.
        constant: Columns that never change.
        copies: (column, the earlier one it repeats up to scale and offset), by label.
        independent: Columns that are no linear combination of others.
    """

    n_columns: int
    constant: int
    copies: tuple[tuple[str, str], ...]
    independent: int


def find_relations(sample: Sample) -> Relations:
    """Compare the observed columns with one another."""
    columns = sample.obs[sample.anchors(MAX_ROWS)] if len(sample) else sample.obs
    spread = columns.std(0) if len(columns) else np.zeros(columns.shape[1])
    size = np.abs(columns).max(0, initial=0.0)
    varies = spread > 1e-9 * size
    names = [label for label, moves in zip(sample.obs_labels, varies, strict=True) if moves]
    if not names:
        return Relations(columns.shape[1], columns.shape[1], copies=(), independent=0)

    unit = (columns[:, varies] - columns[:, varies].mean(0)) / spread[varies]
    correlation = unit.T @ unit / len(unit)
    same = np.triu(np.abs(correlation) > 1 - NOTHING, k=1)
    repeats = np.flatnonzero(same.any(0))
    return Relations(
        n_columns=columns.shape[1],
        constant=int((~varies).sum()),
        copies=tuple((names[i], names[int(np.argmax(same[:, i]))]) for i in repeats),
        independent=int((np.linalg.eigvalsh(correlation) > NOTHING).sum()),
    )

"""A sample of streamed rows in bounded memory, for quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RowSample:
    """All rows of a stream while they fit, and a uniform sample of them from there on.

    Every row draws a number, and those with the smallest ones stay. Unlike evenly spaced rows, such
    a sample has no rhythm that the data could share. The draws are the same in every run.

    Args:
        limit: how many rows may be kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(2, limit)
        self._below = 1.0
        self._draws: list[NDArray[np.float64]] = []
        self._rows: list[NDArray[Any]] = []
        self._n = 0
        self._generator = np.random.Generator(np.random.Philox(key=[0, 0]))

    def add(self, rows: NDArray[Any]) -> None:
        """Take rows [n, width] in."""
        # In pieces, so that one block cannot take more memory than the sample.
        for begin in range(0, len(rows), self._limit):
            self._add(rows[begin : begin + self._limit])

    def rows(self) -> NDArray[Any]:
        """Return the rows that are kept [m, width]."""
        return np.concatenate(self._rows)

    def _add(self, rows: NDArray[Any]) -> None:
        draws = self._generator.random(len(rows))
        chosen = draws < self._below
        self._draws.append(draws[chosen])
        self._rows.append(rows[chosen])
        self._n += len(self._rows[-1])
        if self._n > self._limit:
            self._thin_out()

    def _thin_out(self) -> None:
        """Keep the half of the limit with the smallest draws, and admit smaller ones only."""
        draws = np.concatenate(self._draws)
        rows = np.concatenate(self._rows)
        kept = self._limit // 2
        self._below = float(np.partition(draws, kept)[kept])
        chosen = draws < self._below
        self._draws = [draws[chosen]]
        self._rows = [rows[chosen]]
        self._n = len(self._rows[0])

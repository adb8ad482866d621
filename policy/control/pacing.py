"""The real clock of a control loop: absolute deadlines on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import PolicyError


@dataclass(frozen=True)
class Pace:
    """What a paced loop did.

    Attributes:
        rate_hz: the loop's rate.
        latencies: seconds from each tick's due time to its command, `[n]`; includes late wake-up.
    """

    rate_hz: float
    latencies: npt.NDArray[np.float64]

    @property
    def misses(self) -> int:
        """Ticks whose command came later than one period after the tick was due."""
        return int((self.latencies > 1 / self.rate_hz).sum())

    @property
    def miss_rate(self) -> float:
        """Share of ticks that missed."""
        return self.misses / max(1, len(self.latencies))

    def percentile(self, q: float) -> float:
        """Return the q-th percentile of the latency in seconds."""
        return float(np.percentile(self.latencies, q)) if len(self.latencies) else float("nan")


class PacedClock:
    """Makes tick k due at start + k / rate, where the first wait is the start.

    A late tick is not skipped and does not shift the later ones.

    Args:
        rate_hz: ticks a second.
        n_ticks: ticks until the clock ends the loop; None never does.
        on_tick: called after each command with the number of commands so far.

    Raises:
        PolicyError: the rate is not a positive number.
    """

    def __init__(
        self,
        rate_hz: float,
        n_ticks: int | None = None,
        *,
        on_tick: Callable[[int], None] | None = None,
    ) -> None:
        if not 0 < rate_hz < float("inf"):
            raise PolicyError(f"a clock needs a positive number of ticks a second; got {rate_hz}")
        self._rate_hz = rate_hz
        self._n_ticks = n_ticks
        self._on_tick = on_tick
        self._latencies: list[float] = []
        self._start: float | None = None
        self._due = 0.0

    def wait(self) -> bool:
        """Sleep until the next tick is due; return False when there is none."""
        tick = len(self._latencies)
        if self._n_ticks is not None and tick >= self._n_ticks:
            return False

        now = time.monotonic()
        if self._start is None:
            self._start = now
        self._due = self._start + tick / self._rate_hz
        if self._due > now:
            time.sleep(self._due - now)
        return True

    def commanded(self) -> None:
        """Note that the tick's command is out."""
        self._latencies.append(time.monotonic() - self._due)
        if self._on_tick is not None:
            self._on_tick(len(self._latencies))

    @property
    def pace(self) -> Pace:
        """What the clock has seen so far."""
        return Pace(self._rate_hz, np.array(self._latencies))

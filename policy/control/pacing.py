"""A control loop paced by the real clock: absolute deadlines on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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


def run_paced(rate_hz: float, n_ticks: int, tick: Callable[[int], bool]) -> Pace:
    """Call `tick(k)` at every multiple of the period, until it returns False or n_ticks are over.

    A late tick is not skipped and does not shift the later ones: tick k is due at start + k / rate.

    Args:
        rate_hz: ticks a second.
        n_ticks: most ticks to run.
        tick: computes and issues command k; returns whether to go on.
    """
    latencies: list[float] = []
    start = time.monotonic()
    for k in range(n_ticks):
        due = start + k / rate_hz
        delay = due - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        go_on = tick(k)
        latencies.append(time.monotonic() - due)
        if not go_on:
            break
    return Pace(rate_hz, np.array(latencies))

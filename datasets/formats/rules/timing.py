"""The control rate that the times of the steps tell, where they are regular."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A step may take this much more or less than the usual one, and this share must keep to it.
TOLERANCE = 0.1
REGULAR_SHARE = 0.95
# Whole numbers this far apart are nanoseconds; numbers in between are of no certain unit.
NANOSECONDS = 100_000
SLOWEST_S = 5.0


def rate_of_times(
    name: str, times: NDArray[Any], episode_ends: NDArray[np.int64]
) -> tuple[float | None, str]:
    """Return the rate in Hz that times [N] of steps tell, None where none can be told; and a note.

    Args:
        name: Of the array, for the note.
        times: In seconds, or in nanoseconds where they are whole numbers far apart.
        episode_ends: [n_episodes]; the time between two episodes says nothing.
    """
    within = np.ones(max(0, len(times) - 1), dtype=bool)
    within[episode_ends[:-1] - 1] = False
    periods = np.diff(times.astype(np.float64))[within]
    if not len(periods) or not np.isfinite(periods).all():
        return None, f"{name!r} tells no control rate; give control_rate_hz=..."

    period = float(np.median(periods))
    if times.dtype.kind in "iu" and period >= NANOSECONDS:
        periods = periods / 1e9
        period /= 1e9
    if not 0 < period <= SLOWEST_S:
        return None, f"{name!r} is in no certain unit; give control_rate_hz=..."

    regular = float(np.mean(np.abs(periods - period) <= TOLERANCE * period))
    if regular < REGULAR_SHARE:
        return None, (
            f"{name!r} is irregular: {regular:.0%} of the steps take about {period:.4g} s; give "
            "control_rate_hz=..."
        )
    rate = round(1 / period, 2) if period < 1 else 1 / period
    return rate, f"control rate {rate:g} Hz, from {name!r} ({regular:.1%} of the steps regular)"

"""The time that a diagnosis may take, shared out to what needs it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Minutes to spend; rollouts adapt to what is left.

    Args:
        minutes: in all.
        clock: gives seconds that only grow.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds = 60 * minutes

    @property
    def left(self) -> float:
        """Seconds left, 0 when they are spent."""
        return max(0.0, self._began + self._seconds - self._clock())

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0

    def affords(self, seconds_each: float, share: float, least: int, most: int) -> int:
        """Return how many of something a share of the time left pays for.

        Args:
            seconds_each: of one of them.
            share: of what is left, in (0, 1].
            least: they are made even if they cost more, unless everything is spent.
            most: no more than these.
        """
        if self.spent:
            return 0
        return int(min(most, max(least, share * self.left / max(seconds_each, 1e-9))))

"""Ctrl-C, SIGTERM and a closed terminal as a request to stop at the next safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: What asks a training to stop; a closed terminal too, where the system has that signal.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

#: Interrupts that are waited for before one ends the process where it stands.
PATIENCE = 3


class StopRequest:
    """Becomes true at the first interrupt; the step under way ends, and a checkpoint is written.

    Attributes:
        requested: whether to stop.
        abandonable: True while nothing would be lost by stopping at once, as during rollouts: an
            interrupt then raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.requested = False
        self.abandonable = False
        self._count = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        self._count += 1
        if self.abandonable or self._count > PATIENCE:
            raise KeyboardInterrupt

    @contextmanager
    def abandon(self) -> Iterator[None]:
        """Within the block, let an interrupt end it at once and go on after it."""
        self.abandonable = True
        try:
            yield
        except KeyboardInterrupt:
            self.requested = True
        finally:
            self.abandonable = False


@contextmanager
def stop_at_interrupt() -> Iterator[StopRequest]:
    """Within the block, turn interrupts into `request.requested` (main thread only)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

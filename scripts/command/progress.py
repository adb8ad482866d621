"""Progress of a stage: how much is done, how fast, how long still.

A bar on a terminal; elsewhere (a log file, CI) one plain line every few seconds. Nothing runs in
the background: the display is drawn inside `update`, so it cannot disturb a timed loop between.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import TaskID

RATE_WINDOW_S = 20.0  # the rate is that of the last while, so that a warm-up is soon forgotten
BAR_PERIOD_S = 0.2
LINE_PERIOD_S = 5.0


class Progress:
    """Show the progress of one stage; use it as a context manager.

    >>> with Progress("train", total=24_000, unit="steps") as progress:
    ...     progress.update(step, loss=f"{loss:.4f}")

    `total` counts `unit`s; `start` is where a resumed stage begins. Facts given to `update` by
    name stay on display until replaced. `stream` defaults to stdout, `clock` to monotonic seconds.
    """

    def __init__(
        self,
        label: str,
        total: int,
        unit: str = "steps",
        *,
        start: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = start
        self.facts: dict[str, object] = {}
        self._clock = clock
        self._began = clock()
        self._start = start
        self._recent: deque[tuple[float, int]] = deque([(self._began, start)])
        stream = stream or sys.stdout
        self._display: _Display = _Bar(self, stream) if stream.isatty() else _Lines(stream)
        self._drawn_at = self._began
        self._has_news = True

    def __enter__(self) -> Progress:
        self._display.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._has_news:
            self._display.draw(self)
        self._display.close()

    def update(self, done: int, **facts: object) -> None:
        """Say that `done` units of the total are finished, and anything worth showing with it."""
        self.done = done
        self.facts.update(facts)
        self._has_news = True
        now = self._clock()
        if now - self._drawn_at < self._display.period_s:
            return
        self._drawn_at = now
        self._recent.append((now, done))
        while len(self._recent) > 2 and now - self._recent[1][0] > RATE_WINDOW_S:
            self._recent.popleft()
        self._display.draw(self)
        self._has_news = False

    def advance(self, count: int = 1, **facts: object) -> None:
        """Say that `count` more units are finished."""
        self.update(self.done + count, **facts)

    def say(self, line: str) -> None:
        """Print a line that stays, such as the path of a checkpoint."""
        self._display.say(line)

    @property
    def rate(self) -> float:
        """Units per second of late; over the whole stage once it is finished."""
        finished = self.done >= self.total
        then, before = (self._began, self._start) if finished else self._recent[0]
        return (self.done - before) / max(self._clock() - then, 1e-9)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stage began."""
        return self._clock() - self._began

    @property
    def eta_s(self) -> float | None:
        """Seconds still to go at the present rate, None while no rate is known."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def figures(self) -> str:
        """Return the count, rate, time and facts as one line of text."""
        parts = [f"{self.done}/{self.total} {self.unit}"]
        if self.done > self._start:
            parts.append(f"{_rate_text(self.rate)} {self.unit}/s")
        finished = self.done >= self.total or self.eta_s is None
        parts.append(
            duration_text(self.elapsed_s) if finished else f"ETA {duration_text(self.eta_s or 0)}"
        )
        parts += [f"{name} {value}" for name, value in self.facts.items()]
        return "  ".join(parts)


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line at once; where its reader has left, be silent from now on.

    A training goes on when `head` or the terminal that showed it is gone.
    """
    stream = stream or sys.stdout
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        _fall_silent(stream, error)


def _fall_silent(stream: TextIO, error: OSError) -> None:
    """Send what is still written to `stream` nowhere, if it is its reader that is gone."""
    if error.errno not in (errno.EPIPE, errno.EIO):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Display(Protocol):
    period_s: float

    def open(self) -> None: ...
    def draw(self, progress: Progress) -> None: ...
    def say(self, line: str) -> None: ...
    def close(self) -> None: ...


class _Lines:
    """Plain lines for whatever is not a terminal."""

    period_s = LINE_PERIOD_S

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def open(self) -> None:
        """Nothing to prepare."""

    def draw(self, progress: Progress) -> None:
        percent = 100 * progress.done // max(progress.total, 1)
        self.say(f"{progress.label:<10} {percent:3d} %  {progress.figures()}")

    def say(self, line: str) -> None:
        say(line, self._stream)

    def close(self) -> None:
        """Nothing to put away."""


class _Bar:
    """A rich progress bar, redrawn by hand instead of by rich's own thread.

    A stage may stand inside another (rollouts while training): the outer bar is taken off the
    terminal meanwhile.
    """

    period_s = BAR_PERIOD_S
    _shown: ClassVar[list[_Bar]] = []

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._stream = stream
        one_line = Column(no_wrap=True, overflow="ellipsis")
        self._rich = RichProgress(
            TextColumn("[bold]{task.description:<10}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[figures]}", markup=False, table_column=one_line),
            console=Console(file=stream, highlight=False),
            auto_refresh=False,
        )
        self._task: TaskID = self._rich.add_task(
            progress.label, total=progress.total, completed=progress.done, figures=""
        )

    def open(self) -> None:
        if self._shown:
            self._shown[-1]._stop(erase=True)
        self._shown.append(self)
        self._rich.start()

    def draw(self, progress: Progress) -> None:
        self._rich.update(self._task, completed=progress.done, figures=progress.figures())
        try:
            self._rich.refresh()
        except OSError as error:
            _fall_silent(self._stream, error)

    def say(self, line: str) -> None:
        self._rich.console.print(line, markup=False)

    def close(self) -> None:
        self._stop(erase=False)
        self._shown.remove(self)
        if self._shown:
            self._shown[-1]._rich.start()

    def _stop(self, *, erase: bool) -> None:
        self._rich.live.transient = erase
        self._rich.stop()


def duration_text(seconds: float) -> str:
    """Return `seconds` as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _rate_text(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"

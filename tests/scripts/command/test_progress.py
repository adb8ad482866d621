"""Progress: the figures are right, and a log gets a line now and then, not a bar."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from kinoise.scripts.command.progress import Progress, duration_text


class _Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_five_seconds_and_one_at_the_end() -> None:
    clock, stream = _Clock(), io.StringIO()
    with Progress("train", 20, "steps", stream=stream, clock=clock) as progress:
        for step in range(1, 21):
            clock.now += 0.5
            progress.update(step, loss=f"{1 / step:.2f}")
    assert stream.getvalue().splitlines() == [
        "train       50 %  10/20 steps  2 steps/s  ETA 0:05  loss 0.10",
        "train      100 %  20/20 steps  2 steps/s  0:10  loss 0.05",
    ]


def test_a_resumed_stage_counts_only_its_own_work_in_the_rate() -> None:
    clock = _Clock()
    progress = Progress("train", 4000, stream=io.StringIO(), start=2000, clock=clock)
    clock.now += 10
    progress.update(2100)
    assert progress.rate == pytest.approx(10)
    assert progress.eta_s == pytest.approx(190)


def test_the_rate_forgets_a_slow_beginning() -> None:
    clock = _Clock()
    progress = Progress("train", 10_000, stream=io.StringIO(), clock=clock)
    for step in range(1, 200):
        clock.now += 60 if step == 1 else 1
        progress.update(step)
    assert progress.rate == pytest.approx(1, rel=0.05)


def test_an_interrupted_stage_says_how_far_it_came() -> None:
    stream = io.StringIO()

    def interrupted_stage() -> None:
        with Progress("collect", 10, "episodes", stream=stream) as progress:
            progress.advance(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_stage()
    assert "3/10 episodes" in stream.getvalue()


def test_nothing_done_is_no_division_by_zero() -> None:
    stream = io.StringIO()
    with Progress("collect", 0, "episodes", stream=stream, clock=_Clock()):
        pass
    assert "0/0 episodes" in stream.getvalue()


def test_a_terminal_gets_a_bar_and_lines_that_stay() -> None:
    stream = _Terminal()
    with Progress("train", 3, "steps", stream=stream) as progress:
        progress.say("checkpoint written: runs/a [bold]")
        progress.advance(3, success="97 %")
    assert "checkpoint written: runs/a [bold]" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


def test_a_stage_inside_another_takes_the_terminal_and_gives_it_back() -> None:
    stream = _Terminal()
    with Progress("train", 2, "steps", stream=stream) as outer:
        outer.advance()
        with Progress("evaluate", 2, "episodes", stream=stream) as inner:
            inner.advance(2)
        outer.advance()
    shown = stream.getvalue()
    assert shown.index("2/2 episodes") < shown.index("2/2 steps")
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is visible again


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (75, "1:15"), (3723, "1:02:03")]
)
def test_a_duration_is_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_work_goes_on_in_silence_when_its_reader_has_left() -> None:
    program = (
        "import sys; from kinoise.scripts.command.progress import Progress, say\n"
        "say('first')\n"
        "with Progress('train', 3) as progress:\n"
        "    for step in range(3): progress.update(step + 1)\n"
        "say('last'); print('and more', flush=True); sys.stderr.write('done')"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "done")

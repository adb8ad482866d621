"""The paced clock: absolute deadlines in real time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from kinoise.policy.control import pacing
from kinoise.policy.control.pacing import Pace, PacedClock
from kinoise.policy.errors import PolicyError


def test_ticks_keep_to_the_clock_and_do_not_drift() -> None:
    seen: list[float] = []
    clock = PacedClock(100.0, 30)
    while clock.wait():
        seen.append(time.monotonic())
        clock.commanded()
    late = clock.pace.latencies
    assert len(late) == 30
    assert (late >= 0).all()
    # Never early: tick k is due k periods after the start.
    assert all(now - seen[0] >= k / 100 - late[0] - 1e-9 for k, now in enumerate(seen))


def test_a_late_tick_is_a_miss_and_later_ticks_catch_up() -> None:
    clock = PacedClock(50.0, 12)
    ticks = 0
    while clock.wait():
        time.sleep(0.05 if ticks == 3 else 0.0)
        clock.commanded()
        ticks += 1
    pace = clock.pace
    assert pace.latencies[3] > 1 / 50
    assert pace.misses >= 1
    assert pace.latencies[-1] < pace.latencies[3]
    assert pace.miss_rate == pace.misses / 12


def test_every_command_is_told() -> None:
    told: list[int] = []
    clock = PacedClock(1000.0, 5, on_tick=told.append)
    while clock.wait():
        clock.commanded()
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate_hz: float) -> None:
    with pytest.raises(PolicyError, match="positive"):
        PacedClock(rate_hz)


def test_a_miss_is_a_command_later_than_its_period() -> None:
    pace = Pace(10.0, np.array([0.0, 0.06, 0.09, 0.11, 0.2]))
    assert pace.misses == 2
    assert pace.miss_rate == pytest.approx(0.4)


def test_after_a_late_tick_the_next_are_due_when_they_always_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pacing.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    clock = PacedClock(10.0)
    started = []
    for busy in (0.01, 0.25, 0.01, 0.01, 0.01):
        clock.wait()
        started.append(now[0])
        now[0] += busy
        clock.commanded()
    assert started == pytest.approx([100.0, 100.1, 100.35, 100.36, 100.4])
    assert clock.pace.latencies == pytest.approx([0.01, 0.25, 0.16, 0.07, 0.01])

"""The paced loop: absolute deadlines on a real clock."""

from __future__ import annotations

import time

from kinoise.policy.control.pacing import run_paced


def test_ticks_keep_to_the_clock_and_do_not_drift() -> None:
    seen: list[float] = []

    def tick(k: int) -> bool:
        seen.append(time.monotonic())
        return True

    pace = run_paced(100.0, 30, tick)
    assert len(pace.latencies) == 30
    assert all(late >= 0 for late in pace.latencies)
    # Never early: tick k is due k periods after the start.
    assert all(now - seen[0] >= k / 100 - pace.latencies[0] - 1e-9 for k, now in enumerate(seen))


def test_a_late_tick_is_a_miss_and_later_ticks_catch_up() -> None:
    pace = run_paced(50.0, 12, lambda k: time.sleep(0.05 if k == 3 else 0.0) is None)
    assert pace.latencies[3] > 1 / 50
    assert pace.misses >= 1
    assert pace.latencies[-1] < pace.latencies[3]
    assert pace.miss_rate == pace.misses / 12


def test_a_tick_may_end_the_loop() -> None:
    assert len(run_paced(1000.0, 100, lambda k: k < 4).latencies) == 5

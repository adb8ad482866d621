"""How long the threads of a matmul wait for one another before they sleep.

OpenMP's threads spin at every barrier by default. Beside other work the thread they wait for is
often not running, and a spinning one burns the share that it would need: training then keeps a few
per cent of its idle speed (`benchmarks/busy.py`). To sleep at once would cost much of the speed of
an idle machine, so they spin for some microseconds. The variable is read when torch is first
imported, so it is set before.
"""

from __future__ import annotations

import os

#: Of GNU's OpenMP, which torch brings along on Linux.
ASLEEP = {"GOMP_SPINCOUNT": "3000"}


def wait_asleep() -> None:
    """Let waiting threads sleep soon, here and in child processes; the user's choice is kept."""
    if "OMP_WAIT_POLICY" in os.environ:
        return
    for variable, value in ASLEEP.items():
        os.environ.setdefault(variable, value)

"""How the threads of a matmul wait for one another: asleep, so that a laptop in use stays fair.

OpenMP's threads spin at every barrier by default. Beside other work the thread they wait for is
often not running, and a spinning one burns the share that it would need: training then keeps a few
per cent of its idle speed (`benchmarks/busy.py`). The variables are read when torch is first
imported, so they are set before.
"""

from __future__ import annotations

import os

#: Variables of OpenMP, and of GNU's own implementation, which torch brings along on Linux.
ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def wait_asleep() -> None:
    """Let waiting threads sleep, in this process and its children; what the user set is kept."""
    for variable, value in ASLEEP.items():
        os.environ.setdefault(variable, value)

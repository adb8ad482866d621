"""Training beside other work: steps a second next to 0, 1 and 2 processes that never rest.

Each measurement is a fresh process that trains the default policy on two threads, once with
OpenMP's default of spinning threads and once with `kinoise`'s sleeping ones, in turns. The burners
run in sessions of their own, as other programs do, so that nice between them does not help.

    python benchmarks/busy.py --turns 3 --seconds 10
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from common import THREAD_VARIABLES, machine, write_result

from kinoise.scripts.command.waiting import ASLEEP

BURNERS = (0, 1, 2)
WAYS = ("default", "kinoise")

#: Trains for a while in a process of its own and prints the steps a second.
PROBE = """
import sys, tempfile, time
sys.path.insert(0, sys.argv[1])
import torch
from latency import make_policy
from kinoise.policy.training.trainer import Trainer

torch.set_num_threads(2)
policy = make_policy("residual_mlp")
batch = {"obs": {"state": torch.randn(256, 2, 14)}, "action": torch.randn(256, 16, 5),
         "mask": torch.ones(256, 16, dtype=torch.bool)}
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(policy.train(), {"policy": {}}, folder, n_steps=10**6, precision="float32")
    for _ in range(5):
        trainer._train_step(lambda number: batch)
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < float(sys.argv[2]):
        trainer._train_step(lambda number: batch)
        steps += 1
    print(steps / (time.monotonic() - began))
"""


def steps_a_second(way: str, seconds: float) -> float:
    """Return the rate of a training whose threads wait in one of the `WAYS`."""
    variables = {
        key: value for key, value in os.environ.items() if key not in (*THREAD_VARIABLES, *ASLEEP)
    }
    if way == "kinoise":
        variables |= ASLEEP
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    done = subprocess.run(
        [sys.executable, "-c", PROBE, folder, str(seconds)],
        env=variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def beside(n_burners: int, way: str, seconds: float) -> float:
    """Return the rate of a training beside so many busy processes."""
    program = "while True: pass"
    burners = [
        subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        for _ in range(n_burners)
    ]
    try:
        return steps_a_second(way, seconds)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args(argv)
    rates: dict[str, dict[int, list[float]]] = {way: {n: [] for n in BURNERS} for way in WAYS}
    for _ in range(arguments.turns):
        for n_burners in BURNERS:
            for way in WAYS:
                rates[way][n_burners].append(beside(n_burners, way, arguments.seconds))
                time.sleep(0.5)

    rows: list[dict[str, Any]] = []
    for way in WAYS:
        idle = float(np.median(rates[way][0]))
        for n_burners in BURNERS:
            rate = float(np.median(rates[way][n_burners]))
            rows.append(
                {"way": way, "burners": n_burners, "steps_a_second": rate}
                | {"of_idle": rate / idle, "samples": rates[way][n_burners]}
            )
            print(f"{way:8s} beside {n_burners}: {rate:6.2f} steps/s, {100 * rate / idle:4.0f} %")
    print(json.dumps(machine()["cpu"]))
    print(f"wrote {write_result('busy', {'rows': rows})}")


if __name__ == "__main__":
    main()

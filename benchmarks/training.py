"""Training steps a second, and the share of this machine's measured GEMM peak they reach.

The peak is the best rate of a large float32 matmul with the same threads in the same run. The
arithmetic of a step, forward and backward, is counted by torch.

    python benchmarks/training.py --steps 30
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import torch
from common import machine, pin_threads, summary, write_result
from latency import NETWORKS, make_policy
from torch.utils.flop_counter import FlopCounterMode

from kinoise.policy.training.trainer import Trainer

BATCH = 256


def gemm_peak(size: int = 2048, repeats: int = 8) -> float:
    """Return the best float32 matmul rate in FLOP/s."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def measure(network: str, steps: int, precision: str) -> dict[str, Any]:
    """Time whole optimizer steps, EMA included."""
    policy = make_policy(network)
    batch = {
        "obs": {"state": torch.randn(BATCH, policy.n_obs_steps, 14)},
        "action": torch.randn(BATCH, policy.horizon, policy.action_dim),
        "mask": torch.ones(BATCH, policy.horizon, dtype=torch.bool),
    }
    with FlopCounterMode(display=False) as counter:
        policy.compute_loss(batch).backward()
    policy.zero_grad()
    flops = counter.get_total_flops()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(policy, {"policy": {}}, folder, n_steps=10**6, precision=precision)
        seconds = []
        for step in range(steps + 3):
            began = time.perf_counter()
            trainer._train_step(lambda number: batch)
            if step >= 3:
                seconds.append(time.perf_counter() - began)
    times = summary(seconds)
    return {
        "network": network,
        "precision": precision,
        "parameters": sum(p.numel() for p in policy.parameters()),
        "gflop_per_step": flops / 1e9,
        "seconds": times,
        "steps_per_s": 1 / times["median"],
        "flops_per_s": flops / times["median"],
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    arguments = parser.parse_args(argv)
    pin_threads(arguments.threads)
    peak = gemm_peak()
    print(f"{machine()['cpu']}, {arguments.threads} threads, GEMM peak {peak / 1e9:.0f} GFLOP/s")
    print(
        f"{'network':14s}{'precision':11s}{'steps/s':>9s}{'p50 ms':>9s}{'p99':>9s}{'of peak':>9s}"
    )
    rows = []
    for network in arguments.networks:
        for precision in ("float32", "bfloat16"):
            row = {**measure(network, arguments.steps, precision), "gemm_peak": peak}
            row["of_peak"] = row["flops_per_s"] / peak
            rows.append(row)
            print(
                f"{network:14s}{precision:11s}{row['steps_per_s']:9.1f}"
                f"{1e3 * row['seconds']['median']:9.1f}{1e3 * row['seconds']['p99']:9.1f}"
                f"{row['of_peak']:9.2f}"
            )
    result = {"batch": BATCH, "threads": arguments.threads, "gemm_peak_flops": peak, "rows": rows}
    print(f"wrote {write_result('training', result)}")


if __name__ == "__main__":
    main()

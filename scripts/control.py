"""Run a policy in a simulated task paced by the real clock, as a robot's controller would."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, tasks
from .progress import Progress
from .report import write_metrics

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Control in real time and print deadline misses and latency percentiles."""
    control(cfg)


def control(cfg: DictConfig) -> dict[str, Any]:
    """Control in real time; write control.json and return what it says."""
    import numpy as np

    from kinoise.envs.rollouts import ControlLoop
    from kinoise.policy.checkpoints import find_checkpoint
    from kinoise.policy.control.pacing import PacedClock

    checkpoint = find_checkpoint(cfg.checkpoint)
    task = tasks.task_of(cfg, checkpoint)
    rate = float(cfg.rate_hz or tasks.control_rate(task))
    n_ticks = max(1, round(cfg.seconds * rate))
    controller = assembly.load_controller(
        str(checkpoint), assembly.sampler_of(cfg), assembly.guidance_of(cfg)
    )
    first_seed = int(cfg.first_seed)

    with (
        closing(tasks.make_env(task)()) as env,
        Progress("control", n_ticks, "ticks") as progress,
    ):
        # The first call of a network is slow; a robot warms up before it moves.
        obs, _ = env.reset(seed=first_seed)
        controller([obs], [first_seed], [0])
        clock = PacedClock(rate, n_ticks, on_tick=progress.update)
        episodes = list(ControlLoop([env], controller, clock=clock).run(count(first_seed)))

    pace = clock.pace
    chunks = 1e3 * np.array(controller.latencies)[1:]
    result = {
        "rate_hz": rate,
        "ticks": len(pace.latencies),
        "deadline_misses": pace.misses,
        "miss_rate": pace.miss_rate,
        "tick_ms_p50": 1e3 * pace.percentile(50),
        "tick_ms_p99": 1e3 * pace.percentile(99),
        "tick_ms_max": 1e3 * pace.percentile(100),
        "control_chunk_ms_p50": float(np.percentile(chunks, 50)) if len(chunks) else None,
        "control_chunk_ms_p99": float(np.percentile(chunks, 99)) if len(chunks) else None,
        "episodes": len(episodes),
        "solved": sum(episode.success for episode in episodes),
    }
    _print_summary(result)
    out = Path(cfg.out) if cfg.out is not None else Path(cfg.checkpoint)
    write_metrics(out / "control.json", result)
    return result


def _print_summary(result: dict[str, Any]) -> None:
    print(
        f"deadlines   {result['deadline_misses']} missed of {result['ticks']} ticks at "
        f"{result['rate_hz']:g} Hz ({100 * result['miss_rate']:.2f} %)"
    )
    print(
        f"tick        p50 {result['tick_ms_p50']:.2f} ms, p99 {result['tick_ms_p99']:.2f} ms, "
        f"max {result['tick_ms_max']:.2f} ms"
    )
    if result["control_chunk_ms_p50"] is not None:
        print(
            f"chunk       p50 {result['control_chunk_ms_p50']:.2f} ms, "
            f"p99 {result['control_chunk_ms_p99']:.2f} ms"
        )
    print(f"episodes    {result['solved']} solved of {result['episodes']}")

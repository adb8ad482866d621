"""Run a policy in a simulated task paced by the real clock, as a robot's controller would."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from . import assembly, tasks
from .command.places import check_folder
from .command.progress import Progress
from .command.values import Above, AtMost, Count, Positive, Seed
from .reporting.report import write_metrics


@dataclass(frozen=True)
class Settings(tasks.EnvChoices):
    """See `configs/control.yaml`."""

    checkpoint: Path
    seconds: Positive
    first_seed: Seed
    rate_hz: Annotated[float, Above(0), AtMost(10_000)] | None
    n_action_steps: Count | None
    out: Path | None
    trust: bool
    task: Any = None
    limits: Any = None
    policy: assembly.Choices = field(default_factory=assembly.Choices)


def run(settings: Settings) -> None:
    """Control in real time and print deadline misses and latency percentiles."""
    control(settings)


def control(cfg: Settings) -> dict[str, Any]:
    """Control in real time; write control.json and return what it says."""
    import numpy as np

    from kinoise.envs.rollouts import ControlLoop
    from kinoise.policy.checkpoints import find_checkpoint
    from kinoise.policy.control.pacing import PacedClock

    choices = cfg.policy.checked()
    checkpoint = find_checkpoint(cfg.checkpoint)
    out = cfg.checkpoint if cfg.out is None else cfg.out
    check_folder("out", out)
    task = tasks.task_of(cfg, checkpoint)
    rate = float(cfg.rate_hz or tasks.control_rate(task))
    n_ticks = max(1, round(cfg.seconds * rate))
    assembly.check_choices(checkpoint, choices, cfg.n_action_steps)
    controller = assembly.load_controller(
        str(checkpoint), **vars(choices), n_action_steps=cfg.n_action_steps
    )

    with (
        closing(tasks.make_env(task)()) as env,
        Progress("control", n_ticks, "ticks") as progress,
    ):
        # The first call of a network is slow; a robot warms up before it moves.
        obs, _ = env.reset(seed=cfg.first_seed)
        controller([obs], [cfg.first_seed], [0])
        clock = PacedClock(rate, n_ticks, on_tick=progress.update)
        episodes = list(ControlLoop([env], controller, clock=clock).run(count(cfg.first_seed)))

    pace = clock.pace
    chunks = 1e3 * np.array(controller.latencies)[1:]
    result = {
        "rate_hz": rate,
        "n_action_steps": controller.n_action_steps,
        "execution": str(controller.execution),
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

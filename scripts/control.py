"""Run a policy in a simulated task paced by the real clock, as a robot's controller would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from . import assembly
from .command.places import check_folder
from .command.progress import Progress
from .command.values import Above, AtMost, Positive, Seed
from .reporting.report import write_metrics


@dataclass(frozen=True)
class Settings:
    """See `configs/control.yaml`."""

    checkpoint: Path
    seconds: Positive
    first_seed: Seed
    rate_hz: Annotated[float, Above(0), AtMost(10_000)] | None
    out: Path | None
    task: Any = None
    policy: assembly.Choices = field(default_factory=assembly.Choices)


def run(settings: Settings) -> None:
    """Control in real time and print deadline misses and latency percentiles."""
    control(settings)


def control(cfg: Settings) -> dict[str, Any]:
    """Control in real time; write control.json and return what it says."""
    import numpy as np

    from kinoise.policy.checkpoint import find_checkpoint
    from kinoise.policy.control.pacing import run_paced

    choices = cfg.policy.checked()
    checkpoint = find_checkpoint(cfg.checkpoint)
    out = cfg.checkpoint if cfg.out is None else cfg.out
    check_folder("out", out)
    task = assembly.task_of(cfg, checkpoint)
    rate = float(cfg.rate_hz or task.control_rate_hz)
    assembly.check_choices(checkpoint, choices)
    controller = assembly.load_controller(str(checkpoint), choices.sampler, choices.guidance)
    env = assembly.make_env(task)()
    n_ticks = max(1, round(cfg.seconds * rate))
    seed, step, solved, episodes = int(cfg.first_seed), 0, 0, 0
    obs, _ = env.reset(seed=seed)

    def act(observation: dict[str, Any]) -> Any:
        batch = {key: value[None] for key, value in observation.items()}
        return controller(batch, np.array([seed]), np.array([step]))[0]

    act(obs)  # the first call of a network is slow; a robot warms up before it moves
    with Progress("control", n_ticks, "ticks") as progress:

        def tick(k: int) -> bool:
            nonlocal obs, seed, step, solved, episodes
            obs, _, terminated, truncated, info = env.step(act(obs))
            step += 1
            if terminated or truncated:
                solved, episodes = solved + bool(info["success"]), episodes + 1
                seed, step = seed + 1, 0
                obs, _ = env.reset(seed=seed)
            progress.update(k + 1)
            return True

        pace = run_paced(rate, n_ticks, tick)
    env.close()
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
        "episodes": episodes,
        "solved": solved,
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

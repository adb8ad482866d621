"""Roll a policy out on fresh seeds; write `report.html` and `metrics.json`.

The results do not depend on n_envs or n_workers: every episode owns the seed of its reset and of
the sampler's noise.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, likelihood, tasks
from .evaluation import representative, roll_out, summarise
from .report import encode_mp4, write_metrics, write_report

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from kinoise.envs.rollouts import EpisodeResult
    from kinoise.policy.diffusion_policy import DiffusionPolicy

#: Chunks timed for the latency percentiles.
N_TIMED = 200
#: What the report's tiles show.
HEADLINES = (
    "success",
    "success_interval",
    "score",
    "score_interval",
    "n_episodes",
    "length",
    "chunk_ms_p50",
    "chunk_ms_p99",
    "parameters",
    "nfe",
    "sampler",
)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation saw: its metrics, and the videos of the best, median and worst episode."""

    checkpoint: Path
    metrics: dict[str, Any]
    videos: Sequence[Mapping[str, Any]]


def run(cfg: DictConfig) -> None:
    """Evaluate a checkpoint, print the summary and write metrics.json and report.html."""
    evaluation = evaluate(cfg)
    out = Path(cfg.out) if cfg.out is not None else assembly.run_folder(evaluation.checkpoint)
    print(f"report {publish(evaluation, out)}")


def evaluate(cfg: DictConfig) -> Evaluation:
    """Roll a checkpoint out, time its chunks, film three episodes and print the summary."""
    from kinoise.envs.rollouts import Recording
    from kinoise.policy import load_policy
    from kinoise.policy.checkpoints import find_checkpoint, read_config, read_meta

    checkpoint = find_checkpoint(cfg.checkpoint)
    task = tasks.task_of(cfg, checkpoint)
    sampler = assembly.sampler_of(cfg)
    guidance = assembly.guidance_of(cfg)
    controller = partial(
        assembly.controller_factory,
        checkpoint,
        guidance=guidance,
        batch_size=cfg.batch_size,
        device=cfg.device,
    )
    make_env = tasks.make_env(task)
    roll = partial(
        roll_out,
        make_env,
        n_episodes=cfg.n_episodes,
        first_seed=cfg.first_seed,
        n_envs=cfg.n_envs,
        n_workers=cfg.n_workers,
    )
    policy = load_policy(checkpoint, sampler=sampler, guidance=guidance, device=cfg.device)
    # A mistake in what comes last is better known first.
    compared = likelihood.training_data(cfg.familiarity, checkpoint) if cfg.likelihood else None
    record = Recording(trajectories=compared is not None)
    episodes = roll(controller(sampler=sampler), label="evaluate", record=record)
    metrics = {
        "task": task.name,
        "checkpoint": str(checkpoint),
        "step": read_meta(checkpoint)["step"],
        "first_seed": cfg.first_seed,
        **summarise(episodes),
        **_latency(make_env, policy, cfg.batch_size),
        "sampler": (sampler or read_config(checkpoint)["policy"]["sampler"])["solver"],
        "sweep": [
            {"n_steps": n, **summarise(roll(controller(sampler=s), label=f"{n} sampler steps"))}
            for n, s in _samplers(cfg, checkpoint, sampler)
        ],
        "episodes": _rows(episodes),
    }
    videos = _videos(task, controller(sampler=sampler), episodes) if cfg.videos else []
    _print_summary(metrics)
    if compared is not None:
        actor = controller(sampler=sampler)
        roll = partial(roll, actor, record=record)
        metrics["likelihood"] = likelihood.examine(cfg, compared, task, policy, episodes, roll)
    return Evaluation(checkpoint, metrics, videos)


def publish(evaluation: Evaluation, out: Path, control: Mapping[str, Any] | None = None) -> Path:
    """Write metrics.json and report.html into `out` and return the report's path.

    `control` adds what a real-time run showed.
    """
    import yaml

    from kinoise.policy.checkpoints.folder import read_config, read_meta

    metrics, checkpoint = evaluation.metrics, evaluation.checkpoint
    write_metrics(out / "metrics.json", {**metrics, "control": control})
    ticks = {key: control[key] for key in ("deadline_misses", "ticks")} if control else {}
    return write_report(
        out / "report.html",
        title=f"Kinoise on {metrics['task']}",
        subtitle=f"{metrics['n_episodes']} episodes from seed {metrics['first_seed']}, "
        f"checkpoint {checkpoint.resolve().name}",
        summary={key: metrics[key] for key in HEADLINES} | ticks,
        episodes=metrics["episodes"],
        curves=_curves(checkpoint, metrics["sweep"]),
        videos=evaluation.videos,
        tables=_tables(metrics),
        environment={
            **_machine(),
            "versions": read_meta(checkpoint)["versions"],
            "configuration": yaml.safe_dump(read_config(checkpoint), sort_keys=False),
        },
    )


def _samplers(cfg: DictConfig, checkpoint: Path, sampler: Any) -> list[tuple[int, Any]]:
    """Return the samplers of the sweep over numbers of steps."""
    from kinoise.policy.checkpoints.folder import read_config

    base = sampler or read_config(checkpoint)["policy"]["sampler"]
    return [(int(n), {**base, "n_steps": int(n)}) for n in cfg.n_steps]


def _latency(make_env: Any, policy: DiffusionPolicy, batch_size: int) -> dict[str, Any]:
    """Time single chunks on one thread, with the machine otherwise idle."""
    import numpy as np

    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    controller = RecedingHorizonController.of(policy, batch_size=batch_size)
    env = make_env()
    obs, _ = env.reset(seed=0)
    env.close()
    for _ in range(N_TIMED + 20):
        controller([obs], [0], [0])  # step 0 starts afresh, so that every call replans
    times = 1e3 * np.array(controller.latencies)[20:]
    return {
        "chunk_ms_p50": float(np.percentile(times, 50)),
        "chunk_ms_p99": float(np.percentile(times, 99)),
        "parameters": sum(p.numel() for p in policy.parameters()),
        "nfe": policy.table.n_evaluations,
    }


def _videos(
    task: tasks.TaskSettings, make_actor: Any, episodes: Sequence[EpisodeResult]
) -> list[dict[str, Any]]:
    """Replay the best, median and worst episode with pictures; the seeds make them the same."""
    from kinoise.envs.rollouts import Recording, rollout

    make_env = partial(tasks.make_env(task), render_mode="rgb_array")
    rate = tasks.control_rate(task)
    chosen = representative(episodes)
    seeds = sorted({e.seed for e in chosen.values()})
    replayed = rollout(make_env, make_actor, seeds, record=Recording(frame_stride=1), n_envs=1)
    frames = {e.seed: e.frames for e in replayed if e.frames is not None}
    return [
        {
            "title": f"{name}: seed {e.seed}",
            "caption": f"{'success' if e.success else 'no success'}, score {e.score:.3f}, "
            f"{e.length} steps",
            "mp4_bytes": encode_mp4(frames[e.seed], fps=rate),
        }
        for name, e in chosen.items()
    ]


def _curves(checkpoint: Path, sweep: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from kinoise.policy.training.log import read_log

    records = read_log(assembly.run_folder(checkpoint) / "metrics.jsonl")
    names = {"loss": "Training loss", "eval/success": "Success of checkpoints"}
    curves: dict[str, Any] = {}
    for key, title in names.items():
        points = [(r["step"], r[key]) for r in records if key in r]
        if len(points) > 1:
            curves[title] = points
    if len(sweep) > 1:
        curves["Score by sampler steps | steps"] = [
            (row["n_steps"], row["score"], *row["score_interval"]) for row in sweep
        ]
    return curves


def _tables(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = [_sweep_table(metrics["sweep"])] if metrics["sweep"] else []
    return tables + ([likelihood.table(metrics["likelihood"])] if "likelihood" in metrics else [])


def _sweep_table(sweep: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": "Sampler steps",
        "columns": ["steps", "score", "95 % interval", "success", "95 % interval"],
        "rows": [
            [
                row["n_steps"],
                row["score"],
                "{:.3f} to {:.3f}".format(*row["score_interval"]),
                row["success"],
                "{:.3f} to {:.3f}".format(*row["success_interval"]),
            ]
            for row in sweep
        ],
    }


def _rows(episodes: Sequence[EpisodeResult]) -> list[dict[str, Any]]:
    return [
        {"seed": e.seed, "success": e.success, "score": e.score, "length": e.length}
        for e in episodes
    ]


def _machine() -> dict[str, Any]:
    import os
    import platform

    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
    }


def _print_summary(metrics: Mapping[str, Any]) -> None:
    low, high = metrics["success_interval"]
    print(f"n               {metrics['n_episodes']}")
    print(f"success         {metrics['success']:.3f}  [{low:.3f}, {high:.3f}] (Wilson, 95 %)")
    low, high = metrics["score_interval"]
    print(f"score           {metrics['score']:.3f}  [{low:.3f}, {high:.3f}]")
    print(f"episode length  {metrics['length']:.1f} steps")
    print(
        f"chunk latency   p50 {metrics['chunk_ms_p50']:.2f} ms, "
        f"p99 {metrics['chunk_ms_p99']:.2f} ms (one thread)"
    )
    for row in metrics["sweep"]:
        low, high = row["score_interval"]
        print(
            f"  {row['n_steps']:3d} steps     score {row['score']:.3f} [{low:.3f}, {high:.3f}]"
            f"  success {row['success']:.3f}"
        )

"""Roll a policy out on fresh seeds; write `report.html` and `metrics.json`.

The results do not depend on n_envs or n_workers: every episode owns the seed of its reset and of
the sampler's noise. They are written as soon as the episodes are done; the scores of `n_steps` and
of a list of `n_action_steps` and the videos are added one by one, and `resume=true` goes on where
an evaluation was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, tasks
from .command.errors import UsageError
from .command.files import write_bytes_atomically
from .command.places import check_folder
from .command.progress import say
from .command.values import Count, DeviceName, Environments, Seed, Workers
from .evaluation import representative, roll_out, summarise
from .reporting.results import ACTION_STEPS, SAMPLER_STEPS, SWEEPS, Results, Sweep, resumed

if TYPE_CHECKING:
    from kinoise.envs.rollouts import EpisodeResult
    from kinoise.policy.diffusion_policy import DiffusionPolicy

#: Chunks timed for the latency percentiles, and those before them that warm the machine up.
N_TIMED = 200
N_WARM = 20
#: Frames a second of a video whose environment has no rate.
UNKNOWN_RATE = 10.0


@dataclass(frozen=True)
class Settings(tasks.EnvChoices):
    """See `configs/eval.yaml`."""

    checkpoint: Path
    out: Path | None
    resume: bool
    n_episodes: Count
    first_seed: Seed
    n_envs: Environments | tasks.Auto
    n_workers: Workers | tasks.Auto
    device: DeviceName
    batch_size: Count
    n_action_steps: Count | tuple[Count, ...] | None
    plan_consistency: bool
    n_steps: tuple[Count, ...]
    videos: bool
    trust: bool
    task: Any = None
    limits: Any = None
    policy: assembly.Choices = field(default_factory=assembly.Choices)

    @property
    def own_action_steps(self) -> int | None:
        """Ta of the evaluation itself; None for the policy's own."""
        return None if isinstance(self.n_action_steps, tuple) else self.n_action_steps

    @property
    def other_action_steps(self) -> tuple[int, ...]:
        """The Ta that are scored besides."""
        return self.n_action_steps if isinstance(self.n_action_steps, tuple) else ()


def run(settings: Settings) -> Mapping[str, Any]:
    """Evaluate a checkpoint, print the summary and return the figures."""
    results = evaluate(settings)
    print(f"report {results.out / 'report.html'}")
    return {key: results.figures[key] for key in ("success", "score", "length", "chunk_ms_p50")}


def evaluate(settings: Settings) -> Results:
    """Roll a checkpoint out, time its chunks, score other numbers of steps and film three episodes.

    Raises:
        UsageError: the settings do not fit the policy; nothing has run then.
    """
    from kinoise.policy.checkpoints import find_checkpoint

    choices = settings.policy.checked()
    checkpoint = find_checkpoint(settings.checkpoint)
    out = assembly.run_folder(checkpoint) if settings.out is None else settings.out
    check_folder("out", out)
    task = tasks.task_of(settings, checkpoint)
    make_env = tasks.make_env(task)
    check = partial(assembly.check_choices, checkpoint, compare_plans=settings.plan_consistency)
    policy = check(choices, settings.own_action_steps)
    pace = _look(task)
    others = _samplers(settings.n_steps, checkpoint, choices.sampler)
    for sampler in others.values():
        check(replace(choices, sampler=sampler), settings.own_action_steps)
    for n_action_steps in settings.other_action_steps:
        check(choices, n_action_steps)
    asked = _asked(settings, checkpoint, choices, task)
    figures = resumed(out, asked) if settings.resume else {}
    results = Results(out, checkpoint, assembly.run_folder(checkpoint) / "metrics.jsonl", figures)

    actor = partial(
        assembly.controller_factory,
        checkpoint,
        **vars(choices),
        batch_size=settings.batch_size,
        device=settings.device,
        n_action_steps=settings.own_action_steps,
    )
    measured = partial(actor, compare_plans=settings.plan_consistency)
    roll = partial(
        roll_out,
        make_env,
        n_episodes=settings.n_episodes,
        first_seed=settings.first_seed,
        n_envs=pace.envs(settings.n_envs, settings.batch_size),
        n_workers=pace.workers(settings.n_workers),
    )
    if not figures:
        episodes = roll(measured(), label="evaluate")
        latency = _latency(make_env, actor()())
        found = _base_figures(policy, checkpoint, choices, episodes)
        results.publish(asked=asked, task=task.name, **found, **latency)
    _print_summary(results.figures)
    for n_steps, sampler in others.items():
        _add_to_sweep(results, SAMPLER_STEPS, n_steps, partial(roll, measured(sampler=sampler)))
    for n in settings.other_action_steps:
        _add_to_sweep(results, ACTION_STEPS, n, partial(roll, measured(n_action_steps=n)))
    if settings.videos and not results.figures["videos"]:
        episodes = _episodes(results.figures["episodes"])
        results.publish(videos=_film(task, actor(), episodes, out))
    return results


def _look(task: tasks.TaskSettings) -> tasks.Pace:
    """Look at the environment before anything runs in it, and say what is worth saying."""
    pace = tasks.probe(task)
    for note in pace.notes:
        say(note)
    if pace.step_seconds is not None:
        say(f"{task.env_id} takes {1e3 * pace.step_seconds:.2g} ms a step")
    return pace


def _samplers(
    counts: Sequence[int], checkpoint: Path, chosen: Mapping[str, Any] | None
) -> dict[int, dict[str, Any]]:
    """Return the samplers of the sweep over numbers of steps."""
    from kinoise.policy.checkpoints import read_config

    base = chosen or read_config(checkpoint)["policy"]["sampler"]
    return {count: {**base, "n_steps": count} for count in counts}


def _asked(
    settings: Settings, checkpoint: Path, choices: assembly.Choices, task: tasks.TaskSettings
) -> dict[str, Any]:
    """Return what the figures depend on, in JSON's types."""
    with (checkpoint / "policy.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    return {
        "checkpoint": digest,
        "task": assembly.plain(task),
        "n_episodes": settings.n_episodes,
        "first_seed": settings.first_seed,
        "batch_size": settings.batch_size,
        "device": settings.device,
        "n_action_steps": settings.own_action_steps,
        **({"plan_consistency": True} if settings.plan_consistency else {}),
        **assembly.plain(choices),
    }


def _base_figures(
    policy: DiffusionPolicy,
    checkpoint: Path,
    choices: assembly.Choices,
    episodes: Sequence[EpisodeResult],
) -> dict[str, Any]:
    """Return the figures of the checkpoint and of its episodes."""
    from kinoise.policy.checkpoints import read_config, read_meta

    sampler = choices.sampler or read_config(checkpoint)["policy"]["sampler"]
    return {
        "checkpoint": str(checkpoint),
        "step": read_meta(checkpoint)["step"],
        "first_seed": min(each.seed for each in episodes),
        **summarise(episodes),
        "parameters": sum(each.numel() for each in policy.parameters()),
        "nfe": policy.execution.n_evaluations(policy.table),
        "n_action_steps": policy.n_action_steps,
        "execution": str(policy.execution),
        "sampler": sampler["solver"],
        **{sweep.key: [] for sweep in SWEEPS},
        "videos": [],
        "episodes": [
            {"seed": e.seed, "success": e.success, "score": e.score, "length": e.length}
            for e in episodes
        ],
        "plans": [{"seed": e.seed, **e.report} for e in episodes if e.report is not None],
    }


def _episodes(rows: Sequence[Mapping[str, Any]]) -> list[EpisodeResult]:
    """Return the episodes that the rows of the figures tell of, without their trajectories."""
    from kinoise.envs.rollouts import EpisodeResult

    return [EpisodeResult(**row, return_=0.0) for row in rows]


def _latency(make_env: Any, controller: Any) -> dict[str, Any]:
    """Time single chunks on one thread, with the machine otherwise idle."""
    import numpy as np

    env = make_env()
    obs, _ = env.reset(seed=0)
    env.close()
    # One episode of the same observation: a chunk may cost less once there is one before it.
    for step in range((N_TIMED + N_WARM) * controller.n_action_steps):
        controller([obs], [0], [step])
    times = 1e3 * np.array(controller.latencies)[N_WARM:]
    return {
        "chunk_ms_p50": float(np.percentile(times, 50)),
        "chunk_ms_p99": float(np.percentile(times, 99)),
    }


def _add_to_sweep(results: Results, sweep: Sweep, count: int, roll: Any) -> None:
    """Score one number of a sweep, unless that was done, and publish it."""
    rows = results.figures.get(sweep.key, [])
    if all(row[sweep.setting] != count for row in rows):
        row = {sweep.setting: count, **summarise(roll(label=f"{count} {sweep.label}"))}
        found = sorted([*rows, row], key=lambda each: int(each[sweep.setting]))
        results.publish(**{sweep.key: found})
        low, high = row["score_interval"]
        say(
            f"  {count:3d} {sweep.label}  score {row['score']:.3f} [{low:.3f}, {high:.3f}]"
            f"  success {row['success']:.3f}"
        )


def _film(
    task: tasks.TaskSettings, make_actor: Any, episodes: Sequence[EpisodeResult], out: Path
) -> list[dict[str, Any]]:
    """Replay the best, median and worst episode with pictures; the seeds make them the same.

    Returns:
        The videos' titles, captions and files within `out`.
    """
    from kinoise.envs.errors import EnvError
    from kinoise.envs.rollouts import Recording, rollout

    from .reporting.video import encode_mp4

    make_env = partial(tasks.make_env(task), render_mode="rgb_array")
    chosen = representative(episodes)
    seeds = sorted({e.seed for e in chosen.values()})
    try:
        replayed = rollout(make_env, make_actor, seeds, record=Recording(frame_stride=1), n_envs=1)
    except EnvError as error:
        if not task.is_foreign:
            raise
        say(f"no videos: {error}")  # the figures stand, and many simulators draw nothing
        return []
    frames = {e.seed: e.frames for e in replayed if e.frames is not None}
    rate = _frame_rate(task)
    videos = []
    for name, e in chosen.items():
        file = f"videos/{name}.mp4"
        write_bytes_atomically(out / file, encode_mp4(frames[e.seed], fps=rate))
        outcome = "success" if e.success else "no success"
        videos.append(
            {
                "title": f"{name}: seed {e.seed}",
                "caption": f"{outcome}, score {e.score:.3f}, {e.length} steps",
                "file": file,
            }
        )
    return videos


def _frame_rate(task: tasks.TaskSettings) -> float:
    """Return a video's frames a second; many simulators do not say how fast they are."""
    try:
        return tasks.control_rate(task)
    except UsageError:
        return UNKNOWN_RATE


def _print_summary(figures: Mapping[str, Any]) -> None:
    low, high = figures["success_interval"]
    say(f"n               {figures['n_episodes']}")
    say(f"success         {figures['success']:.3f}  [{low:.3f}, {high:.3f}] (Wilson, 95 %)")
    low, high = figures["score_interval"]
    say(f"score           {figures['score']:.3f}  [{low:.3f}, {high:.3f}]")
    say(f"episode length  {figures['length']:.1f} steps")
    if "plan_consistency" in figures:
        say(
            "plans           {disagreement:.3f} apart, {switches:.1%} of {replans} replans switch "
            "mode".format(**figures["plan_consistency"])
        )
    if figures.get("clipped"):
        say(f"out of bounds   {100 * figures['clipped']:.1f} % of the actions, clipped")
    say(
        f"chunk latency   p50 {figures['chunk_ms_p50']:.2f} ms, "
        f"p99 {figures['chunk_ms_p99']:.2f} ms (one thread)"
    )

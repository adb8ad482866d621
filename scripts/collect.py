"""Record demonstrations from a task's scripted expert.

Actions may be perturbed while they are executed; what is recorded is the expert's own choice, so
that the data hold recoveries (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import tasks
from .errors import UsageError
from .progress import Progress

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from kinoise.datasets.replay_buffer import ReplayBuffer
    from kinoise.envs import TaskSpec
    from kinoise.envs.rollouts import EpisodeResult


def run(cfg: DictConfig) -> None:
    """Collect as configured; every finished episode is on disk at once."""
    collect(cfg)


def collect(cfg: DictConfig) -> Path:
    """Collect as configured and return the data set's path."""
    from kinoise.envs.rollouts import Recording, rollout

    task = tasks.task_of(cfg)
    spec = task.spec
    if spec is None or spec.expert is None:
        raise UsageError(
            f"task '{task.name}' has no scripted expert; bring data with `kinoise import`"
        )
    kept = 0
    with (
        _open(cfg, task, spec) as buffer,
        Progress("collect", cfg.n_episodes, "episodes") as progress,
    ):

        def keep(episode: EpisodeResult) -> None:
            nonlocal kept
            progress.advance()
            assert episode.obs is not None
            assert episode.action is not None  # both were asked for below
            if episode.success or not cfg.only_success:
                buffer.append_episode({**episode.obs, "action": episode.action})
                kept += 1

        first = cfg.first_seed + (buffer.n_episodes if cfg.append else 0)
        rollout(
            tasks.make_env(task),
            spec.expert,
            range(first, first + cfg.n_episodes),
            n_envs=cfg.n_envs,
            n_workers=cfg.n_workers,
            record=Recording(trajectories=True),
            perturb=spec.perturbation(),
            on_episode=keep,
        )
        print(f"kept {kept} of {cfg.n_episodes} episodes, {buffer.n_steps} steps in {cfg.out}")
    return Path(cfg.out)


def _open(cfg: DictConfig, task: tasks.TaskSettings, spec: TaskSpec) -> ReplayBuffer:
    from kinoise.datasets.replay_buffer import ReplayBuffer

    if cfg.append and Path(cfg.out).exists():
        return ReplayBuffer.open(cfg.out, "a")
    return ReplayBuffer.create(cfg.out, _attributes(cfg, task, spec), overwrite=cfg.overwrite)


def _attributes(cfg: DictConfig, task: tasks.TaskSettings, spec: TaskSpec) -> dict[str, Any]:
    env = tasks.make_env(task)()
    space = env.action_space
    env.close()
    return {
        "control_rate_hz": spec.control_rate_hz,
        "action": {
            "meaning": spec.action_meaning,
            "units": spec.action_units,
            "low": space.low.tolist(),
            "high": space.high.tolist(),
        },
        "env_id": spec.env_id,
        "source": {"expert": spec.env_id, "first_seed": cfg.first_seed},
    }

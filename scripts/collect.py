"""Record demonstrations from a task's scripted expert.

Actions may be perturbed while they are executed; what is recorded is the expert's own choice, so
that the data hold recoveries (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly
from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.values import Count, Environments, Seed, Workers

if TYPE_CHECKING:
    from kinoise.datasets.replay_buffer import ReplayBuffer
    from kinoise.envs.rollout import EpisodeResult


@dataclass(frozen=True)
class Settings:
    """See `configs/collect.yaml`."""

    task: Any
    out: Path
    n_episodes: Count
    first_seed: Seed
    only_success: bool
    append: bool
    overwrite: bool
    n_envs: Environments
    n_workers: Workers

    def __post_init__(self) -> None:
        if self.append and self.overwrite:
            raise UsageError(
                "append=true keeps a data set and overwrite=true replaces it; give one"
            )


def run(settings: Settings) -> None:
    """Collect as configured; every finished episode is on disk at once."""
    collect(settings)


def collect(cfg: Settings) -> Path:
    """Collect as configured and return the data set's path."""
    from hydra.utils import instantiate

    from kinoise.envs.rollout import Recording, rollout

    if cfg.task.expert is None:
        raise UsageError(
            f"task '{cfg.task.name}' has no scripted expert; bring data with `kinoise import`"
        )
    check_folder("out", cfg.out)
    make_expert = instantiate(cfg.task.expert)
    make_expert()  # a wrong name is better known before the data set is made
    kept = 0
    with _open(cfg) as buffer, Progress("collect", cfg.n_episodes, "episodes") as progress:

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
            assembly.make_env(cfg.task),
            make_expert,
            range(first, first + cfg.n_episodes),
            n_envs=cfg.n_envs,
            n_workers=cfg.n_workers,
            record=Recording(trajectories=True),
            perturb=instantiate(cfg.task.perturb),
            on_episode=keep,
        )
        print(f"kept {kept} of {cfg.n_episodes} episodes, {buffer.n_steps} steps in {cfg.out}")
    return cfg.out


def _open(cfg: Settings) -> ReplayBuffer:
    from kinoise.datasets.replay_buffer import ReplayBuffer

    if cfg.append and cfg.out.exists():
        return ReplayBuffer.open(cfg.out, "a")
    return ReplayBuffer.create(cfg.out, _attributes(cfg), overwrite=cfg.overwrite)


def _attributes(cfg: Settings) -> dict[str, Any]:
    env = assembly.make_env(cfg.task)()
    space = env.action_space
    env.close()
    return {
        "control_rate_hz": cfg.task.control_rate_hz,
        "action": {
            **assembly.plain(cfg.task.action),
            "low": space.low.tolist(),
            "high": space.high.tolist(),
        },
        "env_id": cfg.task.env.env_id,
        "source": {"expert": cfg.task.expert.env_id, "first_seed": cfg.first_seed},
    }

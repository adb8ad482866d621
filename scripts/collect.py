"""Record demonstrations from a task's scripted expert.

Actions may be perturbed while they are executed; what is recorded is the expert's own choice, so
that the data hold recoveries (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from . import tasks
from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.values import AtLeast, Count, Environments, Seed, Workers

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.envs import TaskSpec
    from kinoise.envs.rollouts import EpisodeResult


@dataclass(frozen=True)
class Settings:
    """See `configs/collect.yaml`."""

    task: Any
    out: Path
    n_episodes: Count
    first_seed: Seed
    push_strength: Annotated[float, AtLeast(0)]
    only_success: bool
    append: bool
    resume: bool
    overwrite: bool
    n_envs: Environments
    n_workers: Workers

    def __post_init__(self) -> None:
        chosen = [name for name in ("append", "resume", "overwrite") if getattr(self, name)]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} contradict each other; choose one")


def run(settings: Settings) -> None:
    """Collect as configured; every finished episode is on disk at once."""
    collect(settings)


def collect(cfg: Settings) -> Path:
    """Collect as configured and return the data set's path.

    Episodes are kept in the order of their seeds, and seeds whose episode was left out are recorded
    too: a collection that was cut short and resumed equals one that was not.
    """
    from kinoise.envs.rollouts import Recording, rollout

    task = tasks.task_of(cfg)
    spec = task.spec
    if spec is None or spec.expert is None:
        raise UsageError(
            f"task '{task.name}' has no scripted expert; bring data with `kinoise import`"
        )
    check_folder("out", cfg.out)
    spec.expert()  # a fault of its own is better known before the data set is made
    with _open(cfg, task, spec) as buffer:
        seeds = _seeds(cfg, buffer)
        order = deque(seeds)
        ended: dict[int, EpisodeResult] = {}
        kept = 0

        with Progress("collect", len(seeds), "episodes") as progress:

            def keep(episode: EpisodeResult) -> None:
                nonlocal kept
                progress.advance()
                ended[episode.seed] = episode
                while order and order[0] in ended:
                    kept += _store(buffer, ended.pop(order.popleft()), cfg.only_success)

            rollout(
                tasks.make_env(task),
                spec.expert,
                seeds,
                n_envs=cfg.n_envs,
                n_workers=cfg.n_workers,
                record=Recording(trajectories=True),
                perturb=spec.perturbation(cfg.push_strength) if cfg.push_strength else None,
                on_episode=keep,
            )
        print(f"kept {kept} of {len(seeds)} episodes, {buffer.n_steps} steps in {cfg.out}")
    return cfg.out


def _store(buffer: ReplayBuffer, episode: EpisodeResult, only_success: bool) -> bool:
    """Append an episode, or record that it was left out; return whether it was kept."""
    if only_success and not episode.success:
        buffer.reject_seed(episode.seed)
        return False
    assert episode.obs is not None
    assert episode.action is not None  # both were asked for
    buffer.append_episode({**episode.obs, "action": episode.action}, seed=episode.seed)
    return True


def _open(
    cfg: Settings, task: tasks.TaskSettings, spec: TaskSpec
) -> AbstractContextManager[ReplayBuffer]:
    """Open the data set to write: a new one, one that exists, or the one that replaces it."""
    from kinoise.datasets.storage import ReplayBuffer, replacing

    attributes = _attributes(cfg, task, spec)
    if cfg.overwrite:
        return replacing(cfg.out, attributes, overwrite=True)
    if not (cfg.append or cfg.resume) or not cfg.out.exists():
        return ReplayBuffer.create(cfg.out, attributes)

    buffer = ReplayBuffer.open(cfg.out, "a")
    for name in ("env_id", "control_rate_hz", "action"):
        if _stated(buffer.attrs.get(name)) != attributes[name]:
            buffer.close()
            raise UsageError(
                f"{cfg.out} was recorded with {name} {_stated(buffer.attrs.get(name))!r}, task "
                f"'{task.name}' has {attributes[name]!r}; collect into another data set"
            )
    return buffer


def _stated(attribute: Any) -> Any:
    """Return an attribute without what it leaves open."""
    if not isinstance(attribute, dict):
        return attribute
    return {name: value for name, value in attribute.items() if value is not None}


def _seeds(cfg: Settings, buffer: ReplayBuffer) -> list[int]:
    """Return the seeds to try: fresh ones, or under `resume` those of the request left over."""
    if buffer.next_seed is None and not cfg.first_seed:
        raise UsageError(
            f"{cfg.out} does not say which seeds its episodes came from; give the first that was "
            "never used, such as first_seed=50000"
        )
    if cfg.resume:
        asked = range(cfg.first_seed, cfg.first_seed + cfg.n_episodes)
        return [seed for seed in asked if seed not in buffer.tried_seeds]
    untried = (seed for seed in count(cfg.first_seed) if seed not in buffer.tried_seeds)
    return list(islice(untried, cfg.n_episodes))


def _attributes(cfg: Settings, task: tasks.TaskSettings, spec: TaskSpec) -> dict[str, Any]:
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
        "env_kwargs": dict(task.env_kwargs),
        "source": {"expert": spec.env_id, "first_seed": cfg.first_seed},
    }

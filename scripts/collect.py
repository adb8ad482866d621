"""Record demonstrations from a task's scripted expert.

Actions may be perturbed while they are executed; what is recorded is the expert's own choice, so
that the data hold recoveries (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from collections import deque
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import tasks
from .errors import UsageError
from .progress import Progress

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from omegaconf import DictConfig

    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.envs import TaskSpec
    from kinoise.envs.rollouts import EpisodeResult


def run(cfg: DictConfig) -> None:
    """Collect as configured; every finished episode is on disk at once."""
    collect(cfg)


def collect(cfg: DictConfig) -> Path:
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
    _check(cfg)
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
                perturb=spec.perturbation(),
                on_episode=keep,
            )
        print(f"kept {kept} of {len(seeds)} episodes, {buffer.n_steps} steps in {cfg.out}")
    return Path(cfg.out)


def _store(buffer: ReplayBuffer, episode: EpisodeResult, only_success: bool) -> bool:
    """Append an episode, or record that it was left out; return whether it was kept."""
    if only_success and not episode.success:
        buffer.reject_seed(episode.seed)
        return False
    assert episode.obs is not None
    assert episode.action is not None  # both were asked for
    buffer.append_episode({**episode.obs, "action": episode.action}, seed=episode.seed)
    return True


def _check(cfg: DictConfig) -> None:
    """Refuse settings that contradict one another, before anything is written."""
    for name, least in (("n_episodes", 1), ("first_seed", 0)):
        value = cfg[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(f"{name} is {value!r}; give a whole number of at least {least}")
    for name in ("only_success", "append", "resume", "overwrite"):
        if not isinstance(cfg[name], bool):
            raise UsageError(f"{name} is {cfg[name]!r}; give true or false")
    chosen = [name for name in ("append", "resume", "overwrite") if cfg[name]]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} contradict each other; choose one")


def _open(
    cfg: DictConfig, task: tasks.TaskSettings, spec: TaskSpec
) -> AbstractContextManager[ReplayBuffer]:
    """Open the data set to write: a new one, one that exists, or the one that replaces it."""
    from kinoise.datasets.storage import ReplayBuffer, replacing

    attributes = _attributes(cfg, task, spec)
    if cfg.overwrite:
        return replacing(cfg.out, attributes, overwrite=True)
    if not (cfg.append or cfg.resume) or not Path(cfg.out).exists():
        return ReplayBuffer.create(cfg.out, attributes)

    buffer = ReplayBuffer.open(cfg.out, "a")
    for name in ("env_id", "control_rate_hz", "action"):
        if buffer.attrs.get(name) != attributes[name]:
            buffer.close()
            raise UsageError(
                f"{cfg.out} was recorded with {name} {buffer.attrs.get(name)!r}, task "
                f"'{task.name}' has {attributes[name]!r}; collect into another data set"
            )
    return buffer


def _seeds(cfg: DictConfig, buffer: ReplayBuffer) -> list[int]:
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

"""Run episodes: many environments in lock-step, optionally in several processes.

Every episode owns its seed: the environment is reset with it and the actor gets it, so that an
actor whose rows do not influence one another gives the same episode whatever `n_envs` and
`n_workers` are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import Env

from .episodes import (
    Actor,
    EpisodeResult,
    Perturbation,
    Recording,
    RolloutOptions,
    run_episodes,
)
from .errors import EnvError
from .workers import run_in_workers

__all__ = ["Actor", "EpisodeResult", "Perturbation", "Recording", "rollout"]


def rollout(
    make_env: Callable[[], Env[Any, Any]],
    make_actor: Callable[[], Actor],
    seeds: Sequence[int],
    *,
    n_envs: int = 16,
    n_workers: int = 0,
    max_steps: int | None = None,
    record: Recording | None = None,
    perturb: Perturbation | None = None,
    on_episode: Callable[[EpisodeResult], None] | None = None,
) -> list[EpisodeResult]:
    """Run one episode per seed and return the results in the order of `seeds`.

    make_env, make_actor: called once per environment and once per process; with workers they (and
        `perturb`) must be picklable: functions or classes of a module, or partials of them.
    seeds: non-negative and distinct.
    n_envs: environments in lock-step, in each process.
    n_workers: processes to spawn; 0 runs in this one.
    max_steps: ends an episode earlier than the environment would.
    perturb: replaces the executed actions; the actor's own are recorded. Used to collect
        demonstrations that hold recoveries (Laskey et al. 2017, DART, arXiv:1703.09327).
    on_episode: called in this process after each episode, in the order they end.

    Raises EnvError for seeds that repeat and for a worker that died; an error of an environment or
    an actor, and Ctrl-C, end all processes and pass on.
    """
    wanted = [int(seed) for seed in seeds]
    if len(set(wanted)) != len(wanted) or any(seed < 0 for seed in wanted):
        raise EnvError("seeds must be distinct and not negative: an episode is known by its seed")
    if n_envs < 1 or n_workers < 0:
        raise EnvError(f"n_envs must be at least 1 and n_workers 0; got {n_envs} and {n_workers}")
    options = RolloutOptions(n_envs, max_steps, record or Recording(), perturb)
    if n_workers == 0:
        results = run_episodes(make_env, make_actor, wanted, options)
    else:
        results = run_in_workers(make_env, make_actor, wanted, options, n_workers)
    by_seed = {}
    for result in results:
        by_seed[result.seed] = result
        if on_episode is not None:
            on_episode(result)
    return [by_seed[seed] for seed in wanted]

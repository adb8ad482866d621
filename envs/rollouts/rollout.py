"""Run episodes: many environments in lock-step, optionally in several processes.

Every episode owns its seed: the environment is reset with it and the actor gets it, so that an
actor whose episodes do not influence one another gives the same episode whatever `n_envs` and
`n_workers` are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import Env

from ..errors import EnvError
from .control_loop import Actor, Perturbation
from .episodes import EpisodeResult, Recording
from .workers import Job, run_in_workers, run_job


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

    Args:
        make_env: called once per environment; with workers it must be picklable, as `make_actor`
            and `perturb` must: a function or class of a module, or a partial of one.
        make_actor: called once per process.
        seeds: non-negative and distinct.
        n_envs: environments in lock-step, in each process.
        n_workers: processes to spawn; 0 runs in this one.
        max_steps: ends an episode earlier than the environment would.
        record: what to keep of each episode; nothing by default.
        perturb: replaces the executed actions; the actor's own are recorded. Used to collect
            demonstrations that hold recoveries (DART, Laskey et al. 2017).
        on_episode: called in this process after each episode, in the order they end.

    Raises:
        EnvError: seeds that repeat, or a worker that died. An error of an environment or an actor,
            and Ctrl-C, end all processes and pass on.
    """
    wanted = [int(seed) for seed in seeds]
    if len(set(wanted)) != len(wanted) or any(seed < 0 for seed in wanted):
        raise EnvError("seeds must be distinct and not negative: an episode is known by its seed")
    if n_envs < 1 or n_workers < 0:
        raise EnvError(f"n_envs must be at least 1 and n_workers 0; got {n_envs} and {n_workers}")

    job = Job(
        make_env=make_env,
        make_actor=make_actor,
        n_envs=n_envs,
        record=record or Recording(),
        max_steps=max_steps,
        perturb=perturb,
    )
    results = run_in_workers(job, wanted, n_workers) if n_workers else run_job(job, wanted)
    by_seed = {}
    for result in results:
        by_seed[result.seed] = result
        if on_episode is not None:
            on_episode(result)
    return [by_seed[seed] for seed in wanted]

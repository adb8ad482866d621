"""Roll a controller out and summarise what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .command.progress import Progress

if TYPE_CHECKING:
    from kinoise.envs.rollouts import EpisodeResult, Recording


def roll_out(
    make_env: Any,
    make_actor: Any,
    *,
    label: str,
    n_episodes: int,
    first_seed: int,
    n_envs: int,
    n_workers: int,
    record: Recording | None = None,
    perturb: Any = None,
) -> list[EpisodeResult]:
    """Run the episodes with seeds first_seed, first_seed + 1, ... and show their progress."""
    from kinoise.envs.rollouts import rollout

    successes = 0
    with Progress(label, n_episodes, "episodes") as progress:

        def on_episode(result: EpisodeResult) -> None:
            nonlocal successes
            successes += result.success
            progress.advance(success=f"{successes / (progress.done + 1):.2f}")

        return rollout(
            make_env,
            make_actor,
            range(first_seed, first_seed + n_episodes),
            # Few episodes are still shared among all workers.
            n_envs=max(1, min(n_envs, -(-n_episodes // max(1, n_workers)))),
            n_workers=n_workers,
            record=record,
            perturb=perturb,
            on_episode=on_episode,
        )


def summarise(episodes: Sequence[EpisodeResult]) -> dict[str, Any]:
    """Return n, success with its Wilson interval, score with Gaffke's, length, and the part of
    the steps whose action was out of bounds.

    Where the plans of all episodes were compared, `plan_consistency` tells how well they agree.
    """
    from kinoise.envs.intervals import mean_interval, wilson_interval
    from kinoise.policy.control.plan_consistency import pooled

    success = wilson_interval(sum(e.success for e in episodes), len(episodes))
    score = mean_interval([e.score for e in episodes])
    reports = [e.report for e in episodes if e.report is not None]
    plans = {"plan_consistency": pooled(reports)} if reports else {}
    return {
        "n_episodes": len(episodes),
        "success": success.estimate,
        "success_interval": (success.low, success.high),
        "score": score.estimate,
        "score_interval": (score.low, score.high),
        "length": float(np.mean([e.length for e in episodes])),
        "clipped": sum(e.clipped for e in episodes) / sum(e.length for e in episodes),
        **plans,
    }


def representative(episodes: Sequence[EpisodeResult]) -> dict[str, EpisodeResult]:
    """Return the best, median and worst episode: by success, then score, then speed."""
    ranked = sorted(episodes, key=lambda e: (e.success, e.score, -e.length))
    return {"best": ranked[-1], "median": ranked[len(ranked) // 2], "worst": ranked[0]}

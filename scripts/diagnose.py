"""Say why a policy fails: look at its data, its errors and its rollouts, and rank the causes.

Every finding comes with the evidence for it, what to try and the command. A table is printed;
diagnosis.json holds all that was measured, and diagnosis.html also shows failing episodes beside
the nearest demonstrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import assembly, tasks
from .command.places import check_folder
from .command.values import Count, Environments, Positive, Seed, Workers


@dataclass(frozen=True)
class Settings(tasks.EnvChoices):
    """See `configs/diagnose.yaml`."""

    checkpoint: Path
    out: Path | None
    data: Path | None
    minutes: Positive
    n_episodes: Count
    first_seed: Seed
    n_envs: Environments
    n_workers: Workers
    videos: bool
    trust: bool
    task: Any = None


def run(settings: Settings) -> Mapping[str, Any]:
    """Diagnose a checkpoint, print what was found and write it as JSON and as a page."""
    from kinoise.policy.checkpoints import find_checkpoint

    from .diagnosis import Rolling, examine, open_case
    from .diagnosis.films import Films, film
    from .diagnosis.page import print_findings, write_figures, write_page

    checkpoint = find_checkpoint(settings.checkpoint)
    out = assembly.run_folder(checkpoint) if settings.out is None else settings.out
    check_folder("out", out)
    case = open_case(
        checkpoint,
        tasks.task_of(settings, checkpoint),
        data=settings.data,
        rolling=Rolling(
            n_episodes=settings.n_episodes,
            first_seed=settings.first_seed,
            n_envs=settings.n_envs,
            n_workers=settings.n_workers,
        ),
        minutes=settings.minutes,
    )
    diagnosis = examine(case)
    print_findings(diagnosis)
    write_figures(case, diagnosis, out)
    films = film(case) if settings.videos else Films()
    print(f"report {write_page(case, diagnosis, out, films)}")
    return {"findings": [finding.name for finding in diagnosis.findings]}

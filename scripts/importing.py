"""Bring a foreign data set into Kinoise's format, every key and every bit of it.

`origin` states what the files do not: control rate, action limits, keys to name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.settings import plain
from .command.values import Positive


@dataclass(frozen=True)
class Settings:
    """See `configs/import.yaml` and `configs/origin`."""

    source: Path
    out: Path
    format: Literal["auto", "diffusion_policy", "lerobot"]
    keys: tuple[str, ...] | None
    allow_missing: bool
    overwrite: bool
    control_rate_hz: Positive | None
    env_id: str | None
    action_meaning: Literal["absolute", "relative"] | None
    action_units: str | None
    action_low: tuple[float, ...] | None
    action_high: tuple[float, ...] | None
    derived: Mapping[str, tuple[str, int, int]]

    def __post_init__(self) -> None:
        if self.out.resolve() == self.source.resolve():
            raise UsageError("out is the source itself; name another path")


def run(settings: Settings) -> None:
    """Import `source` to `out`; an import that is killed leaves nothing behind."""
    from kinoise.datasets.formats import import_data

    check_folder("out", settings.out)
    choices = plain(settings)
    choices["derived"] = settings.derived
    with Progress("import", 100, "%") as progress:
        report = import_data(
            choices.pop("source"),
            choices.pop("out"),
            **choices,
            progress=lambda done, total: progress.update(round(100 * done / max(1, total))),
        )

    print(f"{report.n_episodes} episodes, {report.n_steps} steps: {', '.join(report.keys)}")
    print(f"format: {report.format}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"wrote {report.path}; look at it with `kinoise inspect {report.path}`")

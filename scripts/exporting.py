"""Write a data set in LeRobot's format, for those who train or look elsewhere.

Numbers and PNG pictures come back bit for bit with `kinoise import`; video loses detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.settings import plain
from .command.values import AtLeast, AtMost, Positive


@dataclass(frozen=True)
class Settings:
    """See `configs/export.yaml`."""

    data: Path
    out: Path
    images: Literal["png", "h264", "av1"]
    crf: Annotated[int, AtLeast(0), AtMost(51)]
    fps: Positive | None
    task: str | None
    robot: str | None
    overwrite: bool

    def __post_init__(self) -> None:
        if self.out.resolve() == self.data.resolve():
            raise UsageError("out is the data set itself; name another path")


def run(settings: Settings) -> None:
    """Export `data` to `out`; an export that is killed leaves nothing behind."""
    from kinoise.datasets.formats.lerobot import export_data

    check_folder("out", settings.out)
    choices = plain(settings)
    with Progress("export", 100, "%") as progress:
        report = export_data(
            choices.pop("data"),
            choices.pop("out"),
            **choices,
            progress=lambda done, total: progress.update(round(100 * done / max(1, total))),
        )

    print(f"{report.n_episodes} episodes, {report.n_steps} steps")
    for key, name in report.features.items():
        print(f"{key} -> {name}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"wrote {report.path}; read it back with `kinoise import {report.path} OUT`")

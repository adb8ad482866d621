"""Bring a foreign data set into Kinoise's format, every key and every bit of it.

`origin` states what the files do not: control rate, action limits, keys to name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import assembly
from .progress import Progress

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Import `source` to `out`; an import that is killed leaves nothing behind."""
    from kinoise.datasets.formats import import_data

    settings = assembly.plain(cfg)
    source = settings.pop("source")
    out = settings.pop("out")
    with Progress("import", 100, "%") as progress:
        report = import_data(
            source,
            out,
            **settings,
            progress=lambda done, total: progress.update(round(100 * done / max(1, total))),
        )

    print(f"{report.n_episodes} episodes, {report.n_steps} steps: {', '.join(report.keys)}")
    print(f"format: {report.format}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"wrote {report.path}; look at it with `kinoise inspect {report.path}`")

"""Bring a foreign data set into Kinoise's format, every key and every bit of it.

`origin` states what the files do not: control rate, action limits, keys to name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import assembly
from .command.errors import UsageError, suggest
from .command.progress import Progress

if TYPE_CHECKING:
    from omegaconf import DictConfig

FORMATS = ("diffusion_policy",)


def run(cfg: DictConfig) -> None:
    """Import `source` to `out`; an import that is killed leaves nothing behind."""
    from kinoise.datasets.formats.diffusion_policy import import_diffusion_policy

    settings = assembly.plain(cfg)
    name = settings.pop("format")
    if name not in FORMATS:
        hint = suggest(name, FORMATS) or ";"
        raise UsageError(f"no format named '{name}'{hint} formats: {', '.join(FORMATS)}")
    derived = {key: tuple(part) for key, part in settings.pop("derived").items()}
    with Progress("import", 100, "%") as progress:
        report = import_diffusion_policy(
            settings.pop("source"),
            settings.pop("out"),
            derived=derived,
            **settings,
            progress=lambda done, total: progress.update(round(100 * done / max(1, total))),
        )
    print(f"{report.n_episodes} episodes, {report.n_steps} steps: {', '.join(report.keys)}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"wrote {report.path}; look at it with `kinoise inspect {report.path}`")

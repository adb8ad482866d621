"""Bring a foreign data set into Kinoise's format; `--explain` shows first what would be done.

The format is recognised by itself. `keys` says which array is which where the names do not, and
`origin` or the settings below state what the files do not: control rate, what an action means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from .command.errors import UsageError
from .command.help import usage
from .command.places import check_folder
from .command.progress import Progress
from .command.settings import plain
from .command.values import AtLeast, Positive
from .command.verbs import VERBS

if TYPE_CHECKING:
    from kinoise.datasets.formats import ImportReport


@dataclass(frozen=True)
class Settings:
    """See `configs/import.yaml` and `configs/origin`."""

    source: Path
    out: Path | None
    explain: bool
    format: str
    keys: tuple[str, ...] | Mapping[str, str | tuple[str, ...]] | None
    subset: str | None
    min_steps: Annotated[int, AtLeast(1)]
    allow_missing: bool
    overwrite: bool
    resume: bool
    control_rate_hz: Positive | None
    env_id: str | None
    action_meaning: Literal["absolute", "relative"] | None
    action_frame: str | None
    action_rotation: str | None
    action_gripper: str | None
    action_units: str | None
    action_low: tuple[float, ...] | None
    action_high: tuple[float, ...] | None
    derived: Mapping[str, tuple[str, int, int]]

    def __post_init__(self) -> None:
        if self.out is None and not self.explain:
            raise UsageError(f"no value for out; usage: {usage(VERBS['import'])}")
        if self.out is not None and self.out.resolve() == self.source.resolve():
            raise UsageError("out is the source itself; name another path")


def run(settings: Settings) -> None:
    """Import `source` to `out`; an import that is killed leaves nothing behind."""
    from kinoise.datasets.formats import explain, import_data

    choices: dict[str, Any] = plain(settings)
    choices["derived"] = settings.derived
    source = choices.pop("source")
    out = choices.pop("out")
    if choices.pop("explain"):
        print("\n".join(explain(source, out or "OUT", **choices)))
        return

    check_folder("out", Path(out))
    with Progress("import", 100, "%") as progress:
        report = import_data(
            source,
            out,
            **choices,
            progress=lambda done, total: progress.update(round(100 * done / max(1, total))),
        )
    print("\n".join(_lines(report)))


def _lines(report: ImportReport) -> list[str]:
    mapped = ", ".join(f"{key} <- {name}" for key, name in report.mapped.items())
    return [
        f"{report.n_episodes} episodes, {report.n_steps} steps: {', '.join(report.keys)}",
        f"format: {report.format}",
        *([f"mapped: {mapped}"] if mapped else []),
        *(f"converted: {line}" for line in report.converted),
        *(f"note: {line}" for line in report.notes),
        f"wrote {report.path}; look at it with `kinoise inspect {report.path}`",
    ]

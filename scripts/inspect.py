"""Say what a data set holds, flag what would hurt training, and draw a plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .command.places import check_file


@dataclass(frozen=True)
class Settings:
    """See `configs/inspect.yaml`."""

    data: Path
    plot: Path | Literal[False] | None


def run(settings: Settings) -> None:
    """Print the report on the data set and draw it."""
    from kinoise.datasets.inspection import inspect, plot

    from . import recipes
    from .recipes.rules import PROPOSED
    from .recipes.table import cells, rows

    drawing = settings.plot
    if drawing is None:
        drawing = settings.data.with_suffix(".png")
    if drawing is not False:
        check_file("plot", drawing)
    report = inspect(settings.data)
    print(report.to_text())
    if report.facts is not None:
        proposed = [each for each in recipes.propose(report.facts) if each.setting in PROPOSED]
        print("\nproposed; `kinoise train recipe=auto` takes these and what else follows")
        print("\n".join(rows(cells(proposed))))
    if drawing is not False:
        print(f"plot {plot(settings.data, drawing, report.facts)}")

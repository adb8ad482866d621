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

    drawing = settings.plot
    if drawing is None:
        drawing = settings.data.with_suffix(".png")
    if drawing is not False:
        check_file("plot", drawing)
    print(inspect(settings.data).to_text())
    if drawing is not False:
        print(f"plot {plot(settings.data, drawing)}")

"""Say what a data set holds, flag what would hurt training, and draw a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Print the report on the data set and draw it."""
    from kinoise.datasets.inspection import inspect, plot

    print(inspect(cfg.data).to_text())
    if cfg.plot is not False:
        drawing = Path(cfg.plot or Path(cfg.data).with_suffix(".png"))
        plot(cfg.data, drawing)
        print(f"plot {drawing}")

"""Say what a data set holds, flag what would hurt training, and draw a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Print the report on the data set and draw it."""
    from kinoise.datasets.inspection import inspect, plot

    data = Path(str(cfg.data))
    print(inspect(data).to_text())
    if cfg.plot is False:
        return
    drawing = data.with_suffix(".png") if cfg.plot in (None, True) else Path(str(cfg.plot))
    print(f"plot {plot(data, drawing)}")

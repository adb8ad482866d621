"""The single panels of a data set's picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec, SubplotSpec

    Grid = GridSpec
    Place = SubplotSpec

INK = "#222222"
LINES = "#dddddd"
BLUE = "#3b6ea5"
ORANGE = "#d9793b"
SHADES = ("#ffffff", "#f3f5f8")
STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.useoffset": False,
}
# Where a range stands, in widths of the panel.
RANGE_PLACE = 1.04


def draw_traces(axis: Axes, traces: Sequence[NDArray[np.float64]], rate: float | None) -> None:
    """Draw one line an episode over time (steps, where the rate is unknown)."""
    for colour, values in zip(_colours(len(traces)), traces, strict=True):
        time = np.arange(len(values)) / (rate or 1)
        axis.plot(time, values, color=colour, linewidth=0.9, marker="." if len(values) == 1 else "")
    axis.grid(color=LINES, linewidth=0.4)
    axis.tick_params(labelsize=6, length=2, pad=1.5)
    axis.locator_params(axis="both", nbins=4)
    axis.margins(x=0.02, y=0.08)


def draw_range(axis: Axes, values: NDArray[np.float64]) -> None:
    """Draw the range of all steps on the right edge: bar 1 to 99 %, line all, dot mean."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return
    low, q01, q99, high = np.quantile(finite, [0, 0.01, 0.99, 1])
    over = axis.get_yaxis_transform()  # x in widths of the panel, y in the data's units
    kept: dict[str, Any] = {
        "transform": over,
        "clip_on": False,
        "solid_capstyle": "butt",
    }
    axis.plot([RANGE_PLACE] * 2, [low, high], linewidth=1, color=BLUE, **kept)
    axis.plot([RANGE_PLACE] * 2, [q01, q99], linewidth=4, alpha=0.5, color=BLUE, **kept)
    axis.plot([RANGE_PLACE], [finite.mean()], "o", markersize=2.5, color=INK, **kept)


def draw_limits(axis: Axes, limits: Sequence[Sequence[float] | None], dimension: int) -> None:
    """Draw the declared limits of an action's dimension."""
    for limit in limits:
        if limit is not None and dimension < len(limit):
            axis.axhline(limit[dimension], color=ORANGE, linewidth=0.9, linestyle="--")


def draw_picture(axis: Axes, picture: NDArray[Any]) -> None:
    """Draw one camera picture [h, w, c]."""
    unit = picture.dtype.kind == "f" and picture.max() <= 1
    pixels = np.clip(picture * (255 if unit else 1), 0, 255).astype(np.uint8)
    axis.imshow(pixels.squeeze(), cmap="gray", interpolation="nearest")
    axis.set_axis_off()


def draw_lengths(axis: Axes, lengths: NDArray[np.int64]) -> None:
    """Draw how long the episodes are."""
    from matplotlib.ticker import MaxNLocator

    axis.hist(lengths, bins=min(30, max(5, len(lengths) // 5)), color=BLUE, edgecolor="white")
    median = float(np.median(lengths))
    axis.axvline(median, color=ORANGE, linewidth=1.2, label=f"median {median:.0f}")
    axis.set(xlabel="episode length (steps)", ylabel="episodes")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=7, frameon=False)


def draw_legend(axis: Axes, episodes: Sequence[int]) -> None:
    """Say what the lines and marks of the other panels mean."""
    from matplotlib.lines import Line2D

    entries = [
        (Line2D([], [], color=colour, linewidth=1.2), f"episode {episode}")
        for colour, episode in zip(_colours(len(episodes)), episodes, strict=True)
    ]
    entries += [
        (Line2D([], [], color=BLUE, linewidth=1), "right edge: all steps"),
        (Line2D([], [], color=BLUE, linewidth=4, alpha=0.5), "1st to 99th percentile"),
        (Line2D([], [], color=INK, marker="o", markersize=3, linewidth=0), "mean"),
        (Line2D([], [], color=ORANGE, linewidth=0.9, linestyle="--"), "declared action limit"),
    ]
    handles, labels = zip(*entries, strict=True)
    axis.legend(handles, labels, loc="center left", ncols=3, frameon=False, fontsize=7)
    axis.set_axis_off()


def _colours(count: int) -> NDArray[np.float64]:
    from matplotlib import colormaps

    colours: NDArray[np.float64] = colormaps["viridis"](np.linspace(0.05, 0.85, count))
    return colours

"""One picture of a data set: traces, pictures, episode lengths and ranges."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..keys import ACTION, is_image
from ..storage import ReplayBuffer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

EPISODES = 6
TRACES = 4
FRAMES = 8
RANGE_KEYS = 4
MAX_RANGE_DIMENSIONS = 40
INK, GRID, BLUE, ORANGE = "#222222", "#dddddd", "#3b6ea5", "#d9793b"


def plot(buffer: ReplayBuffer | str | Path, path: str | Path) -> Path:
    """Draw a data set into an image file and return its path.

    Rows: traces of action dimensions, of observation dimensions, frames of one episode where
    there are pictures, then episode lengths beside each key's ranges (bar: 1st to 99th
    percentile, line: all, dot: mean, dashed: declared limits).

    Args:
        buffer: A data set or its path.
        path: Where to; the ending decides the format (.png, .svg, .pdf).

    Raises:
        DatasetError: The data set is empty or damaged, or `path` cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = buffer if isinstance(buffer, ReplayBuffer) else ReplayBuffer.open(buffer)
    if not buffer.n_episodes:
        raise DatasetError(f"{buffer.path} holds no episode to draw; collect or import some")
    observed = [key for key in buffer.keys if key != ACTION]
    pictures = [key for key in observed if is_image(buffer[key].shape)]
    numbers = [key for key in observed if key not in pictures]
    with rc_context(
        {
            "font.size": 8,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        rows = [1.0, *([1.0] if numbers else []), *([0.75] if pictures else []), 1.25]
        figure = Figure(figsize=(11, 2.1 * sum(rows) + 0.6), dpi=110, layout="constrained")
        panels = list(figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0])
        figure.suptitle(_title(buffer), fontsize=10, fontweight="bold")
        _draw_traces(panels.pop(0), buffer, [ACTION])
        if numbers:
            _draw_traces(panels.pop(0), buffer, numbers)
        if pictures:
            _draw_frames(panels.pop(0), buffer, pictures[0])
        _draw_distributions(panels.pop(0), buffer, [ACTION, *numbers])
        return _save(figure, Path(path))


def _title(buffer: ReplayBuffer) -> str:
    rate = buffer.attrs.get("control_rate_hz")
    parts = [
        buffer.path.name,
        buffer.attrs.get("env_id"),
        f"{buffer.n_episodes} episodes, {buffer.n_steps} steps",
        f"{rate:g} Hz" if rate else None,
    ]
    return "   ·   ".join(part for part in parts if part)


def _draw_traces(panel: SubFigure, buffer: ReplayBuffer, keys: list[str]) -> None:
    """Draw up to `TRACES` dimensions over time, one line an episode."""
    from matplotlib import colormaps

    shown = np.unique(np.linspace(0, buffer.n_episodes - 1, EPISODES).round().astype(int))
    colours = colormaps["viridis"](np.linspace(0.05, 0.85, len(shown)))
    chosen = _spread_dimensions(buffer, keys)
    axes = panel.subplots(1, len(chosen), squeeze=False)[0]
    rate = buffer.attrs.get("control_rate_hz")
    for axis, (key, dimension) in zip(axes, chosen, strict=True):
        for colour, episode in zip(colours, shown, strict=True):
            start, stop = buffer.bounds(int(episode))
            values = buffer.read(key, start, stop).reshape(stop - start, -1)[:, dimension]
            time = np.arange(len(values)) / (rate or 1)
            axis.plot(time, values, color=colour, linewidth=1, label=f"{episode}")
        if key == ACTION:
            _draw_limits(axis, buffer, [dimension], horizontal=True)
        axis.set_title(_name(buffer, key, dimension), fontsize=8)
        axis.set_xlabel("time (s)" if rate else "step")
        axis.grid(color=GRID, linewidth=0.5)
    if keys != [ACTION]:
        return
    axes[-1].legend(
        title="episode",
        fontsize=7,
        title_fontsize=7,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )


def _spread_dimensions(buffer: ReplayBuffer, keys: list[str]) -> list[tuple[str, int]]:
    """Choose dimensions to draw: the first of every key, then the second, and so on."""
    widths = {key: _width(buffer, key) for key in keys}
    ordered = [
        (key, dimension)
        for dimension in range(max(widths.values()))
        for key in keys
        if dimension < widths[key]
    ]
    return sorted(ordered[:TRACES], key=lambda pair: (keys.index(pair[0]), pair[1]))


def _draw_frames(panel: SubFigure, buffer: ReplayBuffer, key: str) -> None:
    """Draw evenly spaced pictures of the episode of median length."""
    lengths = np.diff(buffer.episode_ends, prepend=0)
    episode = int(np.argsort(lengths, kind="stable")[len(lengths) // 2])
    start, stop = buffer.bounds(episode)
    steps = np.unique(np.linspace(0, stop - start - 1, FRAMES).round().astype(int))
    axes = panel.subplots(1, len(steps), squeeze=False)[0]
    for axis, step in zip(axes, steps, strict=True):
        picture = buffer.read(key, start + int(step), start + int(step) + 1)[0]
        unit = picture.dtype.kind == "f" and picture.max() <= 1
        pixels = np.clip(picture * (255 if unit else 1), 0, 255).astype(np.uint8)
        axis.imshow(pixels.squeeze(), cmap="gray", interpolation="nearest")
        axis.set_title(f"{key}, step {step}" if step else f"{key}, episode {episode}", fontsize=7)
        axis.set_axis_off()


def _draw_distributions(panel: SubFigure, buffer: ReplayBuffer, keys: list[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    shown = keys[:RANGE_KEYS]
    # The root keeps a key of one dimension wide enough for its labels beside one of forty.
    widths = [min(_width(buffer, key), MAX_RANGE_DIMENSIONS) ** 0.5 for key in shown]
    ratios = [sum(widths) / 2, *widths]
    axes = panel.subplots(1, 1 + len(shown), width_ratios=ratios, squeeze=False)[0]
    lengths = np.diff(buffer.episode_ends, prepend=0)
    axes[0].hist(lengths, bins=min(30, max(5, len(lengths) // 5)), color=BLUE, edgecolor="white")
    median = float(np.median(lengths))
    axes[0].axvline(median, color=ORANGE, linewidth=1.2, label=f"median {median:.0f}")
    axes[0].set(xlabel="episode length (steps)", ylabel="episodes")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(fontsize=7, frameon=False)
    for axis, key in zip(axes[1:], shown, strict=True):
        _draw_ranges(axis, buffer, key)


def _draw_ranges(axis: Axes, buffer: ReplayBuffer, key: str) -> None:
    rows = buffer.read(key).reshape(buffer.n_steps, -1)[:, :MAX_RANGE_DIMENSIONS].astype(float)
    place = np.arange(rows.shape[1])
    low, q01, q99, high = np.nanquantile(rows, [0, 0.01, 0.99, 1], axis=0)
    axis.vlines(place, low, high, color=BLUE, linewidth=1)
    axis.vlines(place, q01, q99, color=BLUE, linewidth=5, alpha=0.45)
    axis.plot(place, np.nanmean(rows, axis=0), "o", color=INK, markersize=2.5)
    if key == ACTION:
        _draw_limits(axis, buffer, list(place), horizontal=False)
    hidden = _width(buffer, key) - len(place)
    axis.set_title(key + (f" ({hidden} more not drawn)" if hidden else ""), fontsize=8)
    axis.set_xlabel("dimension")
    axis.set_xticks(place[:: 1 + len(place) // 10])
    axis.set_xlim(-0.6, len(place) - 0.4)
    axis.grid(color=GRID, linewidth=0.5, axis="y")


def _draw_limits(
    axis: Axes, buffer: ReplayBuffer, dimensions: list[int], *, horizontal: bool
) -> None:
    action = buffer.attrs.get("action") or {}
    for limits in (action.get("low"), action.get("high")):
        for dimension in dimensions:
            if limits is None or dimension >= len(limits):
                continue
            if horizontal:
                axis.axhline(limits[dimension], color=ORANGE, linewidth=1, linestyle="--")
            else:
                left, right = dimension - 0.35, dimension + 0.35
                axis.hlines(limits[dimension], left, right, color=ORANGE, linestyle="--")


def _name(buffer: ReplayBuffer, key: str, dimension: int) -> str:
    shape = buffer[key].shape[1:]
    index = ", ".join(str(i) for i in np.unravel_index(dimension, shape)) if shape else ""
    units = (buffer.attrs.get("action") or {}).get("units") if key == ACTION else None
    return key + (f"[{index}]" if index else "") + (f" ({units})" if units else "")


def _width(buffer: ReplayBuffer, key: str) -> int:
    shape: NDArray[np.int64] = np.asarray(buffer[key].shape[1:], dtype=np.int64)
    return int(shape.prod())


def _save(figure: Figure, path: Path) -> Path:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(temporary)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        reason = str(error).splitlines()[0]
        raise DatasetError(f"cannot draw to {path} ({reason}); give a .png path") from error
    return path

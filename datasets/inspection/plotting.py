"""One picture of a data set: every dimension in a panel of its own, pictures, episode lengths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..keys import ACTION, is_image
from ..storage import ReplayBuffer
from . import fact_panels, panels
from .facts import Facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 6
EPISODES = 6
FRAMES = 8
# Of one key; the rest are named in the title.
MAX_DIMENSIONS = 48
# Inches.
WIDTH = 12.0
PANEL_HEIGHT = 1.35
FRAME_HEIGHT = 1.5
FOOT_HEIGHT = 1.6
GAP = 0.5
TITLE_HEIGHT = 0.55


@dataclass(frozen=True)
class Dimension:
    """One dimension to draw.

    Attributes:
        key: Whose it is.
        index: Its number in the flattened step.
        label: What to call it, with its unit where that is known.
    """

    key: str
    index: int
    label: str


def plot(buffer: ReplayBuffer | str | Path, path: str | Path, facts: Facts | None = None) -> Path:
    """Draw a data set into an image file and return its path.

    Every dimension of the actions and of the observations has a panel with an axis of its own: a
    line an episode, and on its right edge the range of all episodes. Below them are frames of one
    episode where there are pictures, and the episodes' lengths.

    Args:
        buffer: A data set or its path.
        path: Where to; the ending decides the format (.png, .svg, .pdf).
        facts: Of the data set, to be drawn too.

    Raises:
        DatasetError: The data set is empty or damaged, or `path` cannot be written.
    """
    from matplotlib import rc_context

    if not isinstance(buffer, ReplayBuffer):
        buffer = ReplayBuffer.open(buffer)
    if not buffer.n_episodes:
        raise DatasetError(f"{buffer.path} holds no episode to draw; collect or import some")
    with rc_context(panels.STYLE):
        return _save(_draw(buffer, facts), Path(path))


def _draw(buffer: ReplayBuffer, facts: Facts | None) -> Figure:
    from matplotlib.figure import Figure

    observed = [key for key in buffer.keys if key != ACTION]
    pictures = [key for key in observed if is_image(buffer[key].shape)]
    numbers = [ACTION, *(key for key in observed if key not in pictures)]
    dimensions = [one for key in numbers for one in _dimensions(buffer, key)]

    n_rows = -(-len(dimensions) // COLUMNS)
    heights = [PANEL_HEIGHT] * n_rows + [FRAME_HEIGHT] * len(pictures)
    heights += [FOOT_HEIGHT] * (1 if facts is None else 2)
    total = sum(heights) + GAP * (len(heights) + 1) + TITLE_HEIGHT
    figure = Figure(figsize=(WIDTH, total), dpi=110)
    figure.text(0.5, 1 - 0.3 / total, _title(buffer, numbers), ha="center", fontsize=11)
    grid = figure.add_gridspec(
        len(heights),
        1,
        height_ratios=heights,
        hspace=GAP / (sum(heights) / len(heights)),
        top=1 - (TITLE_HEIGHT + 0.25) / total,
        bottom=GAP / total,
        left=0.05,
        right=0.98,
    )

    episodes = _shown_episodes(buffer)
    _draw_dimensions(figure, grid, buffer, dimensions, episodes)
    for row, key in enumerate(pictures, start=n_rows):
        _draw_frames(figure, grid[row], buffer, key)

    if facts is not None:
        fact_panels.draw(figure, grid[len(heights) - 2], facts)
    foot = grid[len(heights) - 1].subgridspec(1, 2, width_ratios=[1, 2], wspace=0.08)
    panels.draw_lengths(figure.add_subplot(foot[0]), np.diff(buffer.episode_ends, prepend=0))
    panels.draw_legend(figure.add_subplot(foot[1]), episodes)
    return figure


def _draw_dimensions(
    figure: Figure,
    grid: panels.Grid,
    buffer: ReplayBuffer,
    dimensions: list[Dimension],
    episodes: list[int],
) -> None:
    keys = list(dict.fromkeys(one.key for one in dimensions))
    rate = buffer.attrs.get("control_rate_hz")
    limits = buffer.attrs.get("action") or {}
    bounds = [buffer.bounds(episode) for episode in episodes]
    held: tuple[str, NDArray[np.float64]] | None = None

    for number, one in enumerate(dimensions):
        row, column = divmod(number, COLUMNS)
        axis = figure.add_subplot(grid[row].subgridspec(1, COLUMNS, wspace=0.34)[column])
        if held is None or held[0] != one.key:
            held = one.key, buffer.read(one.key).reshape(buffer.n_steps, -1).astype(np.float64)
        values = held[1][:, one.index]

        panels.draw_traces(axis, [values[start:stop] for start, stop in bounds], rate)
        panels.draw_range(axis, values)
        if one.key == ACTION:
            panels.draw_limits(axis, [limits.get("low"), limits.get("high")], one.index)
        # Keys that follow one another differ in shade.
        axis.set_facecolor(panels.SHADES[keys.index(one.key) % len(panels.SHADES)])
        axis.set_title(one.label, fontsize=8, pad=3)
        if number + COLUMNS >= len(dimensions):
            axis.set_xlabel("time (s)" if rate else "step", labelpad=1)


def _draw_frames(figure: Figure, place: panels.Place, buffer: ReplayBuffer, key: str) -> None:
    """Draw evenly spaced pictures of the episode of median length."""
    lengths = np.diff(buffer.episode_ends, prepend=0)
    episode = int(np.argsort(lengths, kind="stable")[len(lengths) // 2])
    start, stop = buffer.bounds(episode)
    steps = np.unique(np.linspace(0, stop - start - 1, FRAMES).round().astype(int))

    row = place.subgridspec(1, FRAMES, wspace=0.05)
    for number, step in enumerate(steps):
        axis = figure.add_subplot(row[number])
        panels.draw_picture(axis, buffer.read(key, start + int(step), start + int(step) + 1)[0])
        axis.set_title(f"{key}, step {step}" if step else f"{key}, episode {episode}", fontsize=7)


def _dimensions(buffer: ReplayBuffer, key: str) -> Iterator[Dimension]:
    shape = tuple(buffer[key].shape[1:])
    count = int(np.prod(shape, dtype=np.int64))
    stated = (buffer.attrs.get("action") or {}).get("units") if key == ACTION else None
    units = [unit.strip() for unit in str(stated).split(",")] if stated else []
    if len(units) != count:
        units = [str(stated)] * count if stated else [""] * count

    for index in range(min(count, MAX_DIMENSIONS)):
        place = ", ".join(str(number) for number in np.unravel_index(index, shape)) if shape else ""
        label = key + (f"[{place}]" if place else "") + (f" ({units[index]})" if stated else "")
        yield Dimension(key=key, index=index, label=label)


def _shown_episodes(buffer: ReplayBuffer) -> list[int]:
    spread = np.linspace(0, buffer.n_episodes - 1, EPISODES).round()
    return [int(episode) for episode in np.unique(spread)]


def _title(buffer: ReplayBuffer, keys: list[str]) -> str:
    rate = buffer.attrs.get("control_rate_hz")
    widths = {key: int(np.prod(buffer[key].shape[1:], dtype=np.int64)) for key in keys}
    cut = [
        f"{key}: first {MAX_DIMENSIONS} of {width} dimensions"
        for key, width in widths.items()
        if width > MAX_DIMENSIONS
    ]
    parts = [
        buffer.path.name,
        buffer.attrs.get("env_id"),
        f"{buffer.n_episodes} episodes, {buffer.n_steps} steps",
        f"{rate:g} Hz" if rate else None,
        *cut,
    ]
    return "   ·   ".join(part for part in parts if part)


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

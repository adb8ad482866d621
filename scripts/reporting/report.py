"""Write what a run showed: `report.html`, one file that needs nothing else, and `metrics.json`."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command.files import write_atomically
from .charts import Series, line_chart, number_text
from .video import encode_mp4

__all__ = ["encode_mp4", "write_metrics", "write_report"]

Curve = Series | Mapping[str, Series]


def _fraction(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _milliseconds(value: float) -> str:
    return f"{value:.2f} ms"


def _value_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return html.escape(str(value))
    if isinstance(value, int) and abs(value) < 10_000:
        return str(value)
    return number_text(value)


@dataclass(frozen=True)
class _Tile:
    """A headline number: the key of `summary` it shows and the keys that explain it."""

    key: str
    label: str
    text: Callable[[Any], str] = _value_text
    interval: str | None = None
    note: tuple[str, str] | None = None  # (key, format of its value)


TILES = (
    _Tile("success", "Success", _percent, interval="success_interval"),
    _Tile("score", "Mean score", _fraction, interval="score_interval"),
    _Tile("n_episodes", "Episodes"),
    _Tile("length", "Mean length", lambda value: f"{value:.0f} steps"),
    _Tile(
        "chunk_ms_p50", "Chunk latency p50", _milliseconds, note=("chunk_ms_p99", "p99 {:.2f} ms")
    ),
    _Tile("deadline_misses", "Deadline misses", note=("ticks", "of {} ticks")),
    _Tile("parameters", "Parameters"),
    _Tile("nfe", "Network evaluations", note=("sampler", "a chunk, {}")),
    _Tile("n_action_steps", "Executed of a chunk", note=("execution", "steps, {}")),
)

#: What the two headline figures mean.
MEANINGS = (
    "Success: the share of episodes in which the task was solved at some step. "
    "Score: how near to solved an episode came at its best, from 0 to 1."
)


def write_report(
    path: str | Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    subtitle: str = "",
    episodes: Sequence[Mapping[str, Any]] = (),
    curves: Mapping[str, Curve] | None = None,
    videos: Sequence[Mapping[str, Any]] = (),
    tables: Sequence[Mapping[str, Any]] = (),
    environment: Mapping[str, Any] | None = None,
) -> Path:
    """Write a self-contained HTML page to `path`, atomically, and return its path.

    summary: headline numbers. Keys that TILES knows are shown in its order, with their interval
        `(low, high)` as fractions of one or their note; any other key becomes a tile of its own.
    episodes: one mapping each with `seed`, `success`, `score`, `length`; further keys are shown.
    curves: chart title -> points `(step, value)` or `(step, value, low, high)`, or -> a mapping
        of several named series. A `title | x label` names the horizontal axis (default "step").
    videos: mappings with `title`, `caption` and `mp4_bytes` (see `encode_mp4`).
    tables: mappings with `title`, `columns` and `rows`.
    environment: facts of the run (machine, versions); text of several lines, such as the config,
        is set apart.
    """
    parts = {
        "title": html.escape(title),
        "subtitle": html.escape(subtitle),
        "tiles": _tiles(summary),
        "videos": _videos(videos),
        "charts": _charts(curves or {}),
        "tables": "".join(_table_section(table) for table in tables),
        "episodes": _episodes(episodes),
        "environment": _environment(environment or {}),
    }
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    path = Path(path)
    write_atomically(path, re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template))
    return path


def write_metrics(path: str | Path, metrics: Mapping[str, Any]) -> Path:
    """Write `metrics` as JSON, atomically, and return the path; NaN and infinities become null."""
    path = Path(path)
    text = json.dumps(_plain(metrics), indent=2, allow_nan=False)
    write_atomically(path, text + "\n")
    return path


def _plain(value: Any) -> Any:
    """Return `value` in JSON's types; numpy's scalars and arrays are taken apart."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _tiles(summary: Mapping[str, Any]) -> str:
    used = {key for tile in TILES for key in (tile.interval, tile.note and tile.note[0]) if key}
    known = {tile.key for tile in TILES} | used
    others = [_Tile(key, key.replace("_", " ").capitalize()) for key in summary if key not in known]
    cards = [
        _tile(tile, summary) for tile in (*TILES, *others) if summary.get(tile.key) is not None
    ]
    return f'<section class="grid-of tiles">{"".join(cards)}</section>'


def _tile(tile: _Tile, summary: Mapping[str, Any]) -> str:
    value = _plain(summary[tile.key])
    parts = [f'<p class="label">{html.escape(tile.label)}</p><b>{_with_unit(tile.text(value))}</b>']
    if tile.interval and summary.get(tile.interval) is not None:
        parts.append(_interval(tile, value, *_plain(summary[tile.interval])))
    if tile.note and summary.get(tile.note[0]) is not None:
        note = tile.note[1].format(_plain(summary[tile.note[0]]))
        parts.append(f'<p class="note">{html.escape(note)}</p>')
    return f'<div class="card tile">{"".join(parts)}</div>'


def _with_unit(text: str) -> str:
    """Set the unit behind a number smaller than the number."""
    number, space, unit = text.partition(" ")
    return f"{number}<small>{space}{unit}</small>" if number[:1].isdigit() else text


def _interval(tile: _Tile, value: float, low: float, high: float) -> str:
    """Draw an interval on a track from 0 to 1, and write it below."""
    left = 100 * low
    width = 100 * (high - low)
    point = 100 * value
    return (
        f'<div class="interval"><i style="left:{left:.1f}%;width:{width:.1f}%"></i>'
        f'<u style="left:{point:.1f}%"></u></div>'
        f'<p class="note">95 % interval {tile.text(low)} – {tile.text(high)}</p>'
    )


def _videos(videos: Sequence[Mapping[str, Any]]) -> str:
    cards = []
    for video in videos:
        data = base64.b64encode(video["mp4_bytes"]).decode("ascii")
        cards.append(
            '<div class="card"><video controls loop muted playsinline preload="auto" '
            f'src="data:video/mp4;base64,{data}"></video><h3>{html.escape(video["title"])}</h3>'
            f'<p class="caption">{html.escape(video.get("caption", ""))}</p></div>'
        )
    return _section("Episodes on video", "videos", cards)


def _charts(curves: Mapping[str, Curve]) -> str:
    cards = []
    for name, curve in curves.items():
        title, _, x_label = (part.strip() for part in name.partition("|"))
        series = curve if isinstance(curve, Mapping) else {title: curve}
        chart = line_chart(series, x_label or "step")
        figure = f'<div class="figure">{chart}</div>'
        cards.append(f'<div class="card"><h3>{html.escape(title)}</h3>{figure}</div>')
    return _section("Curves", "charts", cards)


def _section(title: str, kind: str, cards: list[str]) -> str:
    if not cards:
        return ""
    return f'<h2>{title}</h2><section class="grid-of {kind}">{"".join(cards)}</section>'


def _episodes(episodes: Sequence[Mapping[str, Any]]) -> str:
    if not episodes:
        return ""
    columns = list(dict.fromkeys(key for episode in episodes for key in episode))
    rows = [[_plain(episode.get(column)) for column in columns] for episode in episodes]
    outcomes = "".join(_outcome(episode) for episode in episodes if "success" in episode)
    count = sum(bool(episode.get("success")) for episode in episodes)
    note = f"{count} of {len(episodes)} succeeded; a hollow square is a failure."
    note += f" {MEANINGS}"
    strip = f'<p class="note">{note}</p><div class="outcomes">{outcomes}</div>' if outcomes else ""
    return f"<h2>Every episode</h2>{strip}{_table(columns, rows)}"


def _outcome(episode: Mapping[str, Any]) -> str:
    """Draw one episode as a square: filled for a success, hollow for a failure."""
    word, kind = ("success", "") if episode["success"] else ("failure", ' class="fail"')
    return f'<i{kind} title="seed {html.escape(str(episode.get("seed", "?")))}: {word}"></i>'


def _table_section(table: Mapping[str, Any]) -> str:
    rows = [[_plain(cell) for cell in row] for row in table["rows"]]
    return f"<h2>{html.escape(table['title'])}</h2>{_table(table['columns'], rows)}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th><button>{html.escape(str(column))}</button></th>" for column in columns)
    decimals = [_decimals([row[i] for row in rows]) for i in range(len(columns))]
    body = "".join(f"<tr>{''.join(map(_cell, row, decimals))}</tr>" for row in rows)
    return (
        '<div class="scroll"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _decimals(column: Sequence[Any]) -> int:
    """Return how many decimals the floats of a column need, three at most."""
    floats = [f"{value:.3f}".rstrip("0") for value in column if isinstance(value, float)]
    return max((len(text.partition(".")[2]) for text in floats), default=0)


def _cell(value: Any, decimals: int) -> str:
    """Return a table cell; `data-value` is what the page sorts by."""
    if isinstance(value, bool):
        kind, word = ("good", "yes") if value else ("bad", "no")
        return f'<td class="{kind}" data-value="{int(value)}">{word}</td>'
    if isinstance(value, float):
        text = (
            f"{value:.{decimals}f}" if 1e-3 <= abs(value) < 1e4 or not value else number_text(value)
        )
    else:
        text = "–" if value is None else html.escape(str(value))
    return f'<td data-value="{html.escape(str(value), quote=True)}">{text}</td>'


def _environment(environment: Mapping[str, Any]) -> str:
    facts = {key: value for key, value in environment.items() if "\n" not in str(value)}
    texts = {key: value for key, value in environment.items() if key not in facts}
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(str(value))}</td></tr>"
        for key, value in facts.items()
    )
    table = f'<table class="facts"><tbody>{rows}</tbody></table>' if rows else ""
    folds = [("Machine and versions", table)] if table else []
    folds += [(key, f"<pre>{html.escape(str(value))}</pre>") for key, value in texts.items()]
    return "".join(_fold(name, inner) for name, inner in folds)


def _fold(name: str, inner: str) -> str:
    summary = f"<summary>{html.escape(name.capitalize())}</summary>"
    return f'<details class="card">{summary}{inner}</details>'

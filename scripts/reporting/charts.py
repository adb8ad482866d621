"""Line charts as inline SVG, coloured by the page's style sheet so that they follow dark mode."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence

Point = Sequence[float]  # (x, y) or, with an interval, (x, y, low, high)
Series = Sequence[Point]

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 34
MAX_POINTS = 400
MOST_DOTS = 30  # more points than this are a line alone
LOG_SPAN = 50  # a positive curve that spans more than this factor is drawn on a log scale


def line_chart(series: Mapping[str, Series], x_label: str = "step") -> str:
    """Return an SVG of the named series; points may carry an interval, drawn as a band.

    Values that are not finite are left out. A single series has no legend.
    """
    cleaned = {name: _thin(_finite(points)) for name, points in series.items()}
    cleaned = {name: points for name, points in cleaned.items() if points}
    if not cleaned:
        return '<p class="empty">no values</p>'
    every = [point for points in cleaned.values() for point in points]
    x_axis = _Axis([p[0] for p in every], LEFT, WIDTH - RIGHT, tight=True)
    ys = [y for point in every for y in point[1:]]
    y_axis = _Axis(ys, HEIGHT - BOTTOM, TOP, log=_wants_log(ys))
    body = [_grid(x_axis, y_axis, x_label)]
    for i, points in enumerate(cleaned.values()):
        body.append(_band(points, x_axis, y_axis, i))
        body.append(_line(points, x_axis, y_axis, i))
    hover = html.escape(json.dumps(_hover(cleaned, x_axis, y_axis)), quote=True)
    legend = _legend(list(cleaned)) if len(cleaned) > 1 else ""
    return (
        f'{legend}<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'data-x="{html.escape(x_label)}" data-points="{hover}">{"".join(body)}</svg>'
    )


class _Axis:
    """Maps values to pixels, with ticks at round numbers."""

    def __init__(
        self,
        values: Sequence[float],
        start: float,
        end: float,
        *,
        log: bool = False,
        tight: bool = False,
    ) -> None:
        self.start = start
        self.end = end
        self.log = log
        low = min(values)
        high = max(values)
        if log:
            low, high = math.log10(low), math.log10(high)
            self.ticks = _log_ticks(low, high)
            low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)
        else:
            low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
            step = _round_step((high - low) / 5)
            if not tight:
                low, high = math.floor(low / step) * step, math.ceil(high / step) * step
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            self.ticks = [k * step for k in range(first, last + 1)]
        self.low = low
        self.high = high

    def pixel(self, value: float) -> float:
        """Return the pixel coordinate of `value`."""
        value = math.log10(value) if self.log else value
        fraction = (value - self.low) / (self.high - self.low or 1)
        return round(self.start + fraction * (self.end - self.start), 1)


def number_text(value: float) -> str:
    """Return `value` short enough for a tick or a tooltip: 12k, 0.031, 1e-4."""
    size = abs(value)
    for limit, unit, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit:
            return f"{value / unit:.3g} {suffix}"
    if size and size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def _finite(points: Series) -> list[Point]:
    return [point for point in points if all(math.isfinite(value) for value in point)]


def _thin(points: list[Point]) -> list[Point]:
    """Keep at most MAX_POINTS: the lowest and the highest of each stretch, so no spike is lost."""
    if len(points) <= MAX_POINTS:
        return points
    stretches = MAX_POINTS // 2
    kept: list[Point] = []
    for i in range(stretches):
        part = points[i * len(points) // stretches : (i + 1) * len(points) // stretches]
        ends = {part.index(pick(part, key=lambda point: point[1])) for pick in (min, max)}
        kept += [part[k] for k in sorted(ends)]
    return kept


def _wants_log(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > LOG_SPAN


def _log_ticks(low: float, high: float) -> list[float]:
    """Return ticks between 10**low and 10**high: powers of ten, or 1-2-5 where those are few."""
    first, last = math.floor(low), math.ceil(high)
    stride = max(1, (last - first) // 5)
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [factor * 10.0**k for k in range(first, last + 1, stride) for factor in factors]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _round_step(step: float) -> float:
    scale = 10.0 ** math.floor(math.log10(step))
    return next(scale * factor for factor in (1, 2, 2.5, 5, 10) if step <= scale * factor * 1.0001)


def _grid(x_axis: _Axis, y_axis: _Axis, x_label: str) -> str:
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.pixel(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 4}" text-anchor="end">{number_text(tick)}</text>'
        )
    for tick in x_axis.ticks:
        x = x_axis.pixel(tick)
        y = HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{y}" y2="{y + 4}"/>')
        parts.append(f'<text x="{x}" y="{y + 17}" text-anchor="middle">{number_text(tick)}</text>')
    y = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
    label = html.escape(x_label)
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _line(points: list[Point], x_axis: _Axis, y_axis: _Axis, i: int) -> str:
    places = [(x_axis.pixel(point[0]), y_axis.pixel(point[1])) for point in points]
    color = f"s{i % 6}"
    dots = [f'<circle class="dot {color}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
    path = " ".join(f"{x},{y}" for x, y in places)
    line = f'<polyline class="line {color}" points="{path}"/>'
    return line + "".join(dots if len(dots) <= MOST_DOTS else ())


def _band(points: list[Point], x_axis: _Axis, y_axis: _Axis, i: int) -> str:
    if any(len(point) < 4 for point in points):
        return ""
    corners = [(p[0], p[3]) for p in points] + [(p[0], p[2]) for p in reversed(points)]
    path = " ".join(f"{x_axis.pixel(x)},{y_axis.pixel(y)}" for x, y in corners)
    return f'<polygon class="band s{i % 6}" points="{path}"/>'


def _hover(
    series: Mapping[str, list[Point]], x_axis: _Axis, y_axis: _Axis
) -> list[list[float | str]]:
    """Return pixel x, pixel y and the text of every point, for the page's tooltip."""
    named = len(series) > 1
    return [
        [
            x_axis.pixel(p[0]),
            y_axis.pixel(p[1]),
            number_text(p[0]),
            (f"{name}: " if named else "")
            + number_text(p[1])
            + (f" ({number_text(p[2])} – {number_text(p[3])})" if len(p) >= 4 else ""),
        ]
        for name, points in series.items()
        for p in points
    ]


def _legend(names: list[str]) -> str:
    items = "".join(
        f'<span><i class="key s{i % 6}"></i>{html.escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'

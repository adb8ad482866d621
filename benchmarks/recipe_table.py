"""The table of `recipes.py`: figures with intervals, and paired differences to the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinoise.envs.intervals import compare_means, compare_rates, mean_interval, wilson_interval

REFERENCE = "none"


def table(records: Sequence[dict[str, Any]], metrics: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each data set and recipe: its figure, and its difference to the reference.

    Differences are paired: by training seed and episode; by training seed alone for errors.

    Args:
        records: the cells.
        metrics: data set -> "success", "score" or "action_error", in the order of the rows.
    """
    return [
        _row(name, recipe, records, metric)
        for name, metric in metrics.items()
        for recipe in _recipes(name, records)
    ]


def _recipes(name: str, records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the recipes that were tried on a data set, the reference first."""
    tried = {record["recipe"] for record in records if record["data"] == name}
    return sorted(tried, key=lambda recipe: (recipe != REFERENCE, recipe))


def _row(name: str, recipe: str, records: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    own = {r["seed"]: r for r in records if (r["data"], r["recipe"]) == (name, recipe)}
    others = {r["seed"]: r for r in records if (r["data"], r["recipe"]) == (name, REFERENCE)}
    values = [value for seed in sorted(own) for value in _outcomes(own[seed], metric)]
    row = {
        "data": name,
        "recipe": recipe,
        "metric": metric,
        "seeds": sorted(own),
        "steps": [own[seed]["steps"] for seed in sorted(own)],
        "by_seed": [_mean(_outcomes(own[seed], metric)) for seed in sorted(own)],
        "estimate": _mean(values),
        "interval": _interval(values, metric),
        "difference": None,
    }
    shared = sorted(own.keys() & others.keys())
    if shared and recipe != REFERENCE:
        pairs = [
            [value for seed in shared for value in _outcomes(side[seed], metric)]
            for side in (own, others)
        ]
        row["difference"] = _difference(*pairs, metric=metric)
    return row


def _outcomes(record: dict[str, Any], metric: str) -> list[float]:
    if metric == "success":
        return [float(digit) for digit in record["successes"]]
    if metric == "score":
        return [float(score) for score in record["scores"].split()]
    return [float(record["action_error"])]


def _interval(values: Sequence[float], metric: str) -> list[float] | None:
    if metric == "action_error":
        return None
    found = (
        wilson_interval(round(sum(values)), len(values))
        if metric == "success"
        else mean_interval(values)
    )
    return [found.low, found.high]


def _difference(own: Sequence[float], others: Sequence[float], *, metric: str) -> list[float]:
    """Return low, estimate and high of own minus others; the estimate alone for errors."""
    if metric == "action_error":
        return [_mean(own) - _mean(others)]
    if metric == "success":
        found = compare_rates([bool(v) for v in own], [bool(v) for v in others]).difference
    else:
        found = compare_means(own, others).difference
    return [found.low, found.estimate, found.high]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table for the docs."""
    lines = [
        f"| data | recipe | figure | all seeds | by seed | paired with {REFERENCE} | steps |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_line, rows)]) + "\n"


def _line(row: dict[str, Any]) -> str:
    cells = [
        row["data"],
        row["recipe"],
        row["metric"].replace("_", " "),
        _figure(row["estimate"], row["interval"]),
        ", ".join(f"{value:.3f}" for value in row["by_seed"]),
        "" if row["difference"] is None else _signed(row["difference"]),
        ", ".join(map(str, row["steps"])),
    ]
    return f"| {' | '.join(cells)} |"


def _figure(estimate: float, interval: Sequence[float] | None) -> str:
    bounds = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return f"{estimate:.3f}{bounds}"


def _signed(difference: Sequence[float]) -> str:
    if len(difference) == 1:
        return f"{difference[0]:+.3f}"
    low, estimate, high = difference
    return f"{estimate:+.3f} [{low:+.3f}, {high:+.3f}]"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

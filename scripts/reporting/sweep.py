"""The figures of many jobs in one table: each job's own, and the mean over seeds of those alike."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ..command.files import write_atomically

#: The override that tells repetitions apart.
SEED = "seed"
#: 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom; beyond, that of the normal.
# fmt: off
STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)
# fmt: on
NORMAL = 1.960

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Jobs that differ in their seed alone.

    Attributes:
        choices: override -> value, of those in which the groups differ.
        n: how many jobs.
        figures: name -> (mean, low, high), the interval of 95 % over the jobs; low and high are
            NaN for a single job.
    """

    choices: Mapping[str, str]
    n: int
    figures: Mapping[str, tuple[float, float, float]]


def gather(files: Iterable[Path]) -> list[Record]:
    """Return the records of the jobs, in the order of their numbers."""
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return sorted(records, key=lambda record: int(record["number"]))


def groups(records: Sequence[Record]) -> list[Group]:
    """Return the jobs that ended well, those with the same overrides but for the seed together."""
    varied = [name for name in _varied(records) if name != SEED]
    alike: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if "figures" in record:
            key = tuple(record["overrides"].get(name, "") for name in varied)
            alike.setdefault(key, []).append(record)
    return [
        Group(dict(zip(varied, key, strict=True)), len(members), _figures(members))
        for key, members in alike.items()
    ]


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its interval of 95 % by Student's t (1908)."""
    mean = fmean(values)
    n = len(values)
    if n < 2:
        return mean, math.nan, math.nan
    quantile = STUDENT_T[n - 2] if n - 2 < len(STUDENT_T) else NORMAL
    reach = quantile * stdev(values) / math.sqrt(n)
    return mean, mean - reach, mean + reach


def write_tables(folder: Path, records: Sequence[Record]) -> None:
    """Write results.csv, a row a job, and results.json, which also holds the means over seeds."""
    overrides = _varied(records)
    figures = _figure_names(records)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *overrides, *figures, "error"])
    for record in records:
        found = record.get("figures", {})
        writer.writerow(
            [
                record["number"],
                *(record["overrides"].get(name, "") for name in overrides),
                *(found.get(name, "") for name in figures),
                record.get("error", ""),
            ]
        )
    write_atomically(folder / "results.csv", text.getvalue())
    means = [
        {"choices": each.choices, "n": each.n, "figures": _without_nan(each.figures)}
        for each in groups(records)
    ]
    content = {"jobs": records, "means": means}
    write_atomically(folder / "results.json", json.dumps(content, indent=2) + "\n")


def print_table(records: Sequence[Record]) -> None:
    """Print the means over seeds with their intervals."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    found = groups(records)
    names = [name for name in ("success", "score", "loss") if name in _figure_names(records)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    varied = list(found[0].choices) if found else []
    for name in (*varied, "n", *names):
        table.add_column(name)
    for each in found:
        cells = [_cell(*each.figures[name]) if name in each.figures else "" for name in names]
        table.add_row(*each.choices.values(), str(each.n), *cells)
    Console().print(table)


def _cell(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _figures(records: Sequence[Record]) -> dict[str, tuple[float, float, float]]:
    names = _figure_names(records)
    return {
        name: mean_interval([r["figures"][name] for r in records if name in r["figures"]])
        for name in names
    }


def _without_nan(figures: Mapping[str, tuple[float, float, float]]) -> dict[str, Any]:
    return {
        name: [None if math.isnan(value) else value for value in values]
        for name, values in figures.items()
    }


def _figure_names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.get("figures", {})))


def _varied(records: Sequence[Record]) -> list[str]:
    """Return the overrides in which the jobs differ."""
    names = dict.fromkeys(name for record in records for name in record["overrides"])
    return [name for name in names if len({r["overrides"].get(name) for r in records}) > 1]

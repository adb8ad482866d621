"""A diagnosis on the terminal, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..reporting.report import write_metrics, write_report
from ..reporting.results import machine
from .errors import held_out, training
from .evidences.drift import PARTS, courses
from .examining import Diagnosis, title_of
from .films import Films
from .rollouts import fresh

if TYPE_CHECKING:
    from .case import Case

NOTHING = "nothing found: no evidence speaks for a fault"


def print_findings(diagnosis: Diagnosis) -> None:
    """Print the findings as a table, and what could not be looked at."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if diagnosis.success is not None:
        console.print(f"success on fresh starts {diagnosis.success:.2f}")
    if not diagnosis.findings:
        console.print(NOTHING)
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("", "strength", "cause and evidence", "what to try"):
            table.add_column(column, overflow="fold")
        for rank, finding in enumerate(diagnosis.findings, 1):
            evidence = "\n".join(f"- {text}" for text in finding.evidence)
            cause = f"{finding.name}: {title_of(finding)}\n{evidence}"
            advice = f"{finding.advice}\n{finding.command}"
            table.add_row(str(rank), f"{finding.strength:.2f}", cause, advice)
        console.print(table)
    for note in diagnosis.notes:
        console.print(f"not looked at: {note}", markup=False)


def write_figures(case: Case, diagnosis: Diagnosis, out: Path) -> Path:
    """Write diagnosis.json and return its path."""
    errors = {
        name: {of: np.sqrt(squares.mean(0)) for of, squares in each.of.items()}
        for name, each in _known_errors(case).items()
    }
    return write_metrics(
        out / "diagnosis.json",
        {
            "checkpoint": str(case.checkpoint),
            "task": case.task.name,
            "data": str(case.data),
            **diagnosis.figures(),
            "errors_by_step_and_dimension": errors,
        },
    )


def write_page(case: Case, diagnosis: Diagnosis, out: Path, films: Films) -> Path:
    """Write diagnosis.html and return its path."""
    failing = sum(not e.success for e in case.once(fresh))
    best = diagnosis.findings[0] if diagnosis.findings else None
    summary = {
        "likeliest": title_of(best) if best else "nothing found",
        **({} if best is None else {"strength": round(best.strength, 2)}),
        **({} if diagnosis.success is None else {"success": diagnosis.success}),
        "failing_rollouts": failing,
    }
    return write_report(
        out / "diagnosis.html",
        title=f"Why {case.task.name} fails" if failing else f"Diagnosis of {case.task.name}",
        subtitle=f"checkpoint {case.checkpoint.resolve().name}, data {case.data}",
        summary=summary,
        tables=[_findings_table(diagnosis), *_error_tables(case), _clues_table(diagnosis)],
        curves={**_curves(case), **films.curves},
        videos=films.videos,
        environment={**machine(), "not looked at": "\n".join(diagnosis.notes) or "–"},
    )


def _findings_table(diagnosis: Diagnosis) -> dict[str, Any]:
    rows = [
        [rank, f.name, f.strength, " · ".join(f.evidence), f.advice, f.command]
        for rank, f in enumerate(diagnosis.findings, 1)
    ]
    title = "What the evidence supports" if rows else "Nothing found"
    columns = ["rank", "cause", "strength", "evidence", "what to try", "command"]
    return {"title": title, "columns": columns, "rows": rows}


def _clues_table(diagnosis: Diagnosis) -> dict[str, Any]:
    rows = [
        [name, clue.cause, clue.kind * clue.effect, clue.text]
        for name, clues in diagnosis.clues.items()
        for clue in clues
    ]
    columns = ["looked at", "would speak for", "strength", "what was measured"]
    return {"title": "Everything that was measured", "columns": columns, "rows": rows}


def _known_errors(case: Case) -> dict[str, Any]:
    unseen = case.once(held_out)
    return {"training": case.once(training), **({} if unseen is None else {"held out": unseen})}


def _error_tables(case: Case) -> list[dict[str, Any]]:
    """Return the errors by dimension of the action, in parts of its spread."""
    tables = []
    for name, errors in _known_errors(case).items():
        roots = {of: np.sqrt(squares.mean((0, 1))) for of, squares in errors.of.items()}
        rows = [
            [f"action[{i}]", *(float(roots[of][i]) for of in roots)]
            for i in range(case.policy.action_dim)
        ]
        title = f"Errors on {name} episodes, in spreads of the action"
        tables.append({"title": title, "columns": ["dimension", *roots], "rows": rows})
    return tables


def _curves(case: Case) -> Mapping[str, Any]:
    """Return the errors over the horizon, the drift over time and the training curves."""
    from kinoise.policy.training.log import read_log

    curves: dict[str, Any] = {}
    for name, errors in _known_errors(case).items():
        curves[f"Error on {name} episodes by step of the chunk | step"] = {
            of: list(enumerate(np.sqrt(squares.mean((0, 2))).tolist()))
            for of, squares in errors.of.items()
        }
    course = case.once(courses)
    if course is not None:
        curves["Distance to the nearest demonstration | part of the episode"] = {
            name: _points(values) for name, values in course.items() if np.isfinite(values).any()
        }
    records = read_log(case.run / "metrics.jsonl")
    for key, title in (("loss", "Training loss"), ("validation_loss", "Loss on held-out episodes")):
        points = [(record["step"], record[key]) for record in records if key in record]
        if len(points) > 1:
            curves[title] = points
    return curves


def _points(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [((i + 0.5) / PARTS, float(value)) for i, value in enumerate(values)]

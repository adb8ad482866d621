"""What an evaluation has found so far: written after every part of it, read to go on with it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command.errors import UsageError
from .report import write_metrics, write_report

#: What the report's tiles show.
HEADLINES = (
    "success",
    "success_interval",
    "score",
    "score_interval",
    "n_episodes",
    "length",
    "chunk_ms_p50",
    "chunk_ms_p99",
    "parameters",
    "nfe",
    "sampler",
    "n_action_steps",
    "execution",
)
#: Curves of training that the report shows, by their name in `metrics.jsonl`.
CURVES = {"loss": "Training loss", "eval/success": "Success of checkpoints"}


@dataclass(frozen=True)
class Sweep:
    """Scores over the values of one setting.

    Attributes:
        key: of the rows among the figures.
        setting: what is swept, and its name in each row.
        label: its name in words.
    """

    key: str
    setting: str
    label: str


SAMPLER_STEPS = Sweep("sweep", "n_steps", "sampler steps")
ACTION_STEPS = Sweep("action_sweep", "n_action_steps", "executed actions")
SWEEPS = (SAMPLER_STEPS, ACTION_STEPS)


class Results:
    """The figures of an evaluation and the files that hold them.

    Args:
        out: folder of metrics.json, report.html and videos.
        checkpoint: what is evaluated.
        log: the training's `metrics.jsonl`, for its curves; need not be there.
        figures: what is known already.
    """

    def __init__(self, out: Path, checkpoint: Path, log: Path, figures: dict[str, Any]) -> None:
        self.out = out
        self.checkpoint = checkpoint
        self.log = log
        self.figures = figures

    def publish(self, **news: Any) -> Path:
        """Add figures, write metrics.json and report.html, and return the report's path."""
        import yaml

        from kinoise.policy.checkpoints import read_config, read_meta

        self.figures.update(news)
        figures = self.figures
        write_metrics(self.out / "metrics.json", figures)
        control = figures.get("control") or {}
        ticks = {key: control[key] for key in ("deadline_misses", "ticks") if key in control}
        return write_report(
            self.out / "report.html",
            title=f"Kinoise on {figures['task']}",
            subtitle=f"{figures['n_episodes']} episodes from seed {figures['first_seed']}, "
            f"checkpoint {self.checkpoint.resolve().name}",
            summary={key: figures[key] for key in HEADLINES if key in figures} | ticks,
            episodes=figures["episodes"],
            curves=_curves(self.log, figures),
            videos=[self._video(each) for each in figures["videos"]],
            tables=_tables(figures),
            environment={
                **machine(),
                "versions": read_meta(self.checkpoint)["versions"],
                "configuration": yaml.safe_dump(read_config(self.checkpoint), sort_keys=False),
            },
        )

    def _video(self, video: Mapping[str, Any]) -> dict[str, Any]:
        return {**video, "mp4_bytes": (self.out / video["file"]).read_bytes()}


def resumed(out: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that an evaluation of the same settings left in `out`; {} for none.

    Args:
        out: folder of metrics.json.
        asked: what the figures depend on.

    Raises:
        UsageError: the figures there belong to other settings, or cannot be read.
    """
    path = out / "metrics.json"
    if not path.exists():
        return {}
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before = figures["asked"]
        others = [key for key in asked if before.get(key) != asked[key]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"'{path}' cannot be continued: it was not written by this version; "
            "leave out resume=true"
        ) from error
    if others:
        raise UsageError(
            f"'{path}' was made with another {', '.join(others)}; leave out resume=true to "
            "evaluate anew, or name another folder with out=..."
        )
    figures["videos"] = [each for each in figures["videos"] if (out / each["file"]).is_file()]
    return figures


def machine() -> dict[str, Any]:
    """Return the date and the machine, as a report names them."""
    import os
    import platform

    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
    }


def _curves(log: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    from kinoise.policy.training.log import read_log

    records = read_log(log)
    curves: dict[str, Any] = {}
    for key, title in CURVES.items():
        points = [(record["step"], record[key]) for record in records if key in record]
        if len(points) > 1:
            curves[title] = points
    for sweep in SWEEPS:
        rows = figures.get(sweep.key, [])
        if len(rows) > 1:
            curves[f"Score by {sweep.label} | {sweep.label}"] = [
                (row[sweep.setting], row["score"], *row["score_interval"]) for row in rows
            ]
    return curves


def _tables(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = [_sweep_table(sweep, rows) for sweep in SWEEPS if (rows := figures.get(sweep.key))]
    plans = figures.get("plan_consistency")
    if plans:
        tables.append(_plan_table(plans))
    return tables


def _plan_table(plans: Mapping[str, Any]) -> dict[str, Any]:
    words = {
        "replans": "replans",
        "disagreement": "distance of successive plans, in normalised actions",
        "multimodal": "share of replans at which fresh plans fall in two groups",
        "switches": "share of replans that go over to the other group",
    }
    rows = [[text, plans[key]] for key, text in words.items()]
    return {"title": "Consistency of plans", "columns": ["figure", "value"], "rows": rows}


def _sweep_table(sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": sweep.label.capitalize(),
        "columns": [sweep.label, "score", "95 % interval", "success", "95 % interval"],
        "rows": [
            [
                row[sweep.setting],
                row["score"],
                "{:.3f} to {:.3f}".format(*row["score_interval"]),
                row["success"],
                "{:.3f} to {:.3f}".format(*row["success_interval"]),
            ]
            for row in rows
        ],
    }

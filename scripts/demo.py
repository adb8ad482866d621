"""The whole stack with one command: collect, train, evaluate, control, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command.composing import quote
from .command.errors import UsageError
from .command.places import check_folder
from .command.settings import prepare
from .command.values import Count

Overrides = tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """See `configs/demo.yaml`."""

    task: Any
    out: Path
    n_demonstrations: Count
    train: Overrides
    collect: Overrides
    eval: Overrides
    control: Overrides


def run(settings: Settings) -> None:
    """Run every stage into `out`; what an earlier demo left there is replaced.

    The settings of all stages are read first, so that none is refused after the others have run.
    """
    from .collect import collect
    from .control import control
    from .eval import evaluate
    from .train import check, train

    began = time.monotonic()
    out = settings.out
    task = settings.task.name
    data = out / "demonstrations.zarr"
    trained = out / "policy"
    check_folder("out", out)
    to_collect = _stage(
        "collect",
        [f"task={task}", _path("out", data), f"n_episodes={settings.n_demonstrations}"],
        ["overwrite=true", *settings.collect],
    )
    to_train = _stage(
        "train",
        [f"task={task}", _path("data.path", data), _path("run", trained), "overwrite=true"],
        settings.train,
    )
    to_train = check(to_train)
    checkpoint = _path("checkpoint", trained)
    to_evaluate = _stage("eval", [checkpoint, _path("out", out)], settings.eval)
    to_control = _stage("control", [checkpoint, _path("out", out)], settings.control)

    _announce(1, f"collect {settings.n_demonstrations} demonstrations of {task}")
    collect(to_collect)
    _announce(2, "train a policy")
    train(to_train)
    _announce(3, "evaluate it on fresh seeds")
    evaluation = evaluate(to_evaluate)
    _announce(4, "run it against the real clock")
    report = evaluation.publish(control=control(to_control))
    minutes = (time.monotonic() - began) / 60
    print(f"\ndone in {minutes:.1f} minutes; open {report.resolve()}")


def _stage(verb: str, own: Sequence[str], given: Sequence[str]) -> Any:
    """Return the settings of a stage: the demo's own overrides, then those that the user gave."""
    try:
        return prepare(verb, [*own, *given])
    except UsageError as error:
        raise UsageError(f"{verb}: {error}") from error


def _path(key: str, path: Path) -> str:
    return f"{key}={quote(str(path))}"


def _announce(number: int, what: str) -> None:
    print(f"\n[{number}/4] {what}", flush=True)

"""The whole stack with one command: collect, train, evaluate, control, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .command.composing import compose, quote

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Run every stage into `out`; what an earlier demo left there is replaced."""
    from .collect import collect
    from .control import control
    from .eval import evaluate, publish
    from .train import train

    began = time.monotonic()
    out, task = Path(cfg.out), cfg.task.name
    data, trained = out / "demonstrations.zarr", out / "policy"
    _announce(1, f"collect {cfg.n_demonstrations} demonstrations of {task}")
    options = [f"task={task}", f"out={quote(str(data))}", f"n_episodes={cfg.n_demonstrations}"]
    collect(compose("collect", [*options, "overwrite=true", *cfg.collect]))
    _announce(2, "train a policy")
    options = [
        f"task={task}",
        f"data.path={quote(str(data))}",
        f"run={quote(str(trained))}",
        "overwrite=true",
    ]
    train(compose("train", [*options, *cfg.train]))
    checkpoint = f"checkpoint={quote(str(trained))}"
    _announce(3, "evaluate it on fresh seeds")
    evaluation = evaluate(compose("eval", [checkpoint, *cfg.eval]))
    publish(evaluation, out)
    _announce(4, "run it against the real clock")
    paced = control(compose("control", [checkpoint, f"out={quote(str(out))}", *cfg.control]))
    report = publish(evaluation, out, paced)
    minutes = (time.monotonic() - began) / 60
    print(f"\ndone in {minutes:.1f} minutes; open {report.resolve()}")


def _announce(number: int, what: str) -> None:
    print(f"\n[{number}/4] {what}", flush=True)

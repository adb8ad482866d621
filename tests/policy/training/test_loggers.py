"""Loggers show what a training writes; what is not installed is said in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kinoise.policy.errors import PolicyError
from kinoise.policy.training import loggers
from kinoise.policy.training.log import TrainingLog, read_log


class _Kept:
    """A logger that keeps what it is told."""

    def __init__(self, folder: Path, resume_at: int) -> None:
        self.said: list[object] = [resume_at]

    def write(self, step: int, scalars: object) -> None:
        self.said.append((step, scalars))

    def close(self) -> None:
        self.said.append("closed")


def test_a_logger_is_told_what_the_log_writes(tmp_path: Path) -> None:
    made: list[_Kept] = []

    def factory(folder: Path, resume_at: int) -> _Kept:
        made.append(_Kept(folder, resume_at))
        return made[0]

    with TrainingLog(tmp_path, 3, factory) as log:
        log.write(4, loss=0.5)
    assert made[0].said == [3, (4, {"loss": 0.5}), "closed"]
    assert read_log(tmp_path / "metrics.jsonl") == [{"step": 4, "loss": 0.5}]


@pytest.mark.parametrize(
    ("module", "factory"),
    [
        ("tensorboard", loggers.TensorBoard),
        ("wandb", loggers.WandB),
        ("trackio", loggers.Trackio),
    ],
)
def test_a_logger_that_is_not_installed_says_what_installs_it(
    module: str, factory: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PolicyError, match=rf"logger={module} needs {module}.*pip install"):
        factory(tmp_path)


def test_tensorboard_writes_event_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = loggers.auto(tmp_path, 0)
    board.write(1, {"loss": 0.5})
    board.close()
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_wandb_offline_keeps_one_run_through_a_resumption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for resume_at in (0, 5):
        run = loggers.WandB(tmp_path, resume_at, mode="offline")
        run.write(resume_at + 1, {"loss": 0.5})
        run.close()
    names = {path.name.rpartition("-")[2] for path in (tmp_path / "wandb").glob("offline-run-*")}
    assert names == {(tmp_path / "wandb.id").read_text()}

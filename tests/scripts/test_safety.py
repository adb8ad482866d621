"""Nothing that stands is lost to a command that fails, and work that was stopped goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kinoise.policy.checkpoints import read_meta
from kinoise.scripts import bench, evaluation
from kinoise.scripts.command.cli import main

from .tiny import SMALL, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("safety") / "data.zarr")


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    run = data.parent / "run"
    assert main(["train", f"data.path={data}", f"run={run}", *SMALL]) == 0
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, for the test's own use."""
    return Path(shutil.copytree(trained, tmp_path / "run", symlinks=True))


def _weights(run: Path) -> bytes:
    return (run / "checkpoints" / "last" / "policy.safetensors").read_bytes()


@pytest.mark.parametrize("fault", ["policy.network.width=0", "data.batch_size=4000", "device=gpu"])
def test_a_run_is_not_replaced_by_a_training_that_cannot_begin(
    data: Path, run: Path, fault: str
) -> None:
    before = _weights(run)
    words = ["train", f"data.path={data}", f"run={run}", *SMALL, "overwrite=true", fault]
    assert main(words) == 2
    assert _weights(run) == before


def test_a_run_is_not_replaced_by_a_training_that_dies(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoise.policy.training.trainer import Trainer

    def die(*_: object, **__: object) -> None:
        raise MemoryError("no first checkpoint")

    before = _weights(run)
    monkeypatch.setattr(Trainer, "fit", die)
    words = ["train", f"data.path={data}", f"run={run}", *SMALL, "overwrite=true", "seed=1"]
    with pytest.raises(MemoryError):
        main(words)
    assert _weights(run) == before
    assert (run / "metrics.jsonl").stat().st_size > 0


def test_a_run_is_replaced_by_a_training_that_ends(data: Path, run: Path) -> None:
    before = _weights(run)
    words = ["train", f"data.path={data}", f"run={run}", *SMALL, "overwrite=true", "seed=1"]
    assert main(words) == 0
    assert _weights(run) != before
    assert not (run / ".replaced").exists()


@pytest.mark.parametrize("out", ["run", "run/checkpoints", "run/checkpoints/last", "thesis"])
@pytest.mark.parametrize("overwrite", ["true", "false"])
def test_tune_replaces_nothing_but_another_checkpoint(
    run: Path, tmp_path: Path, out: str, overwrite: str
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("all of it")
    before = sorted(tmp_path.rglob("*"))
    words = ["tune", str(run), f"out={tmp_path / out}", f"overwrite={overwrite}"]
    assert main(words) == 2
    assert sorted(tmp_path.rglob("*")) == before


def _eval(run: Path, out: Path, *words: str) -> dict[str, Any]:
    small = ["n_episodes=2", "n_workers=0", "videos=false", f"out={out}", *words]
    assert main(["eval", str(run), *small]) == 0
    figures: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return figures


class _Stopped(Exception):
    """Stands for a kill."""


def test_an_evaluation_is_published_before_its_sweep_and_goes_on_where_it_was_stopped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoise.scripts import eval as verb

    real = evaluation.roll_out
    labels: list[str] = []

    def roll_out(*parts: Any, label: str, **settings: Any) -> Any:
        labels.append(label)
        if label == "2 sampler steps" and labels.count(label) == 1:
            raise _Stopped
        return real(*parts, label=label, **settings)

    monkeypatch.setattr(verb, "roll_out", roll_out)
    out = tmp_path / "out"
    with pytest.raises(_Stopped):
        _eval(run, out, "n_steps=[1,2]")
    published = json.loads((out / "metrics.json").read_text())
    assert published["n_episodes"] == 2
    assert [row["n_steps"] for row in published["sweep"]] == [1]
    assert "Success: the share of episodes" in (out / "report.html").read_text()

    figures = _eval(run, out, "n_steps=[1,2]", "resume=true")
    assert labels == ["evaluate", "1 sampler steps", "2 sampler steps", "2 sampler steps"]
    assert [row["n_steps"] for row in figures["sweep"]] == [1, 2]
    assert figures["episodes"] == published["episodes"]


def test_an_evaluation_of_other_settings_is_not_continued(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _eval(run, tmp_path / "out")
    words = ["n_episodes=3", "n_workers=0", f"out={tmp_path / 'out'}", "resume=true"]
    assert main(["eval", str(run), *words]) == 2
    assert "made with another n_episodes" in capsys.readouterr().err


def test_the_number_of_executed_actions_is_a_setting_of_an_evaluation(
    run: Path, tmp_path: Path
) -> None:
    own = _eval(run, tmp_path / "own")
    other = _eval(run, tmp_path / "other", "n_action_steps=1")
    assert (own["n_action_steps"], other["n_action_steps"]) == (8, 1)
    assert own["episodes"] != other["episodes"]


def test_ctrl_c_while_a_checkpoint_is_scored_ends_at_once_and_leaves_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluation.summarise

    def interrupted(*_: object, **__: object) -> list[Mapping[str, Any]]:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass  # the handler runs between two instructions
        pytest.fail("the first Ctrl-C was ignored")

    monkeypatch.setattr(evaluation, "roll_out", interrupted)
    monkeypatch.setattr(evaluation, "summarise", real)
    words = ["train", f"data.path={data}", f"run={tmp_path / 'r'}", *SMALL]
    assert main([*words, "evaluation.n_episodes=2", "evaluation.n_workers=0"]) == 130
    assert read_meta(tmp_path / "r")["step"] == 2


def test_a_solver_that_jumps_is_refused_on_a_policy_of_means(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run), "sampler=lcm", f"out={tmp_path}"]) == 2
    assert "this one predicts means" in capsys.readouterr().err


def test_benchmarks_are_those_of_the_checkout_and_not_of_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "latency.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path / "site-packages")
    assert main(["bench", "latency"]) == 2
    assert "come with a checkout" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()

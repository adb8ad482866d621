"""How chunks are executed, chosen on the command line: eval, control, train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinoise.policy import load_policy
from kinoise.policy.control import BestOfK, TemporalEnsemble
from kinoise.scripts import assembly
from kinoise.scripts.command.cli import main

from .tiny import SMALL, write_data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose policy is stored with an execution of its own."""
    folder = tmp_path_factory.mktemp("execution")
    data = write_data(folder / "data.zarr")
    words = [f"data.path={data}", f"run={folder / 'run'}", *SMALL]
    stored = ["execution=best_of_k", "policy.execution.n_candidates=2"]
    assert main(["train", *words, *stored, "policy.sampler.n_steps=4"]) == 0
    return folder / "run"


def _eval(run: Path, out: Path, *words: str) -> dict[str, Any]:
    small = ["n_episodes=2", "n_workers=0", "videos=false", f"out={out}", *words]
    assert main(["eval", str(run), *small]) == 0
    figures: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return figures


def test_an_execution_is_stored_with_the_policy_and_can_be_replaced(run: Path) -> None:
    assert load_policy(run).execution == BestOfK(2)
    other = {"_target_": "kinoise.policy.control.TemporalEnsemble", "decay": 0.5}
    assert load_policy(run, execution=other).execution == TemporalEnsemble(0.5)
    assert assembly.load_controller(str(run)).execution == BestOfK(2)
    assert assembly.load_controller(str(run), execution=other).execution == TemporalEnsemble(0.5)


def test_an_evaluation_says_how_chunks_were_executed_and_how_well_they_agree(
    run: Path, tmp_path: Path
) -> None:
    words = ["execution=warm_start", "policy.execution.start=0.5", "n_action_steps=6"]
    figures = _eval(run, tmp_path, *words, "plan_consistency=true")
    assert figures["execution"] == "WarmStart(start=0.5)"
    assert (figures["n_action_steps"], figures["nfe"]) == (6, 2)
    assert "WarmStart(start=0.5)" in (tmp_path / "report.html").read_text()

    plans = figures["plan_consistency"]
    assert plans["disagreement"] > 0
    assert 0 <= plans["switches"] <= plans["multimodal"] <= 1
    assert [each["seed"] for each in figures["plans"]] == [200000, 200001]
    assert sum(each["replans"] for each in figures["plans"]) == plans["replans"]


def test_a_list_of_executed_actions_is_scored_beside_the_policys_own(
    run: Path, tmp_path: Path
) -> None:
    figures = _eval(run, tmp_path / "swept", "n_action_steps=[14,4]")
    assert figures["n_action_steps"] == 8
    assert [row["n_action_steps"] for row in figures["action_sweep"]] == [4, 14]
    assert "Executed actions" in (tmp_path / "swept" / "report.html").read_text()
    again = _eval(run, tmp_path / "swept", "n_action_steps=[4,14]", "resume=true")
    assert again["action_sweep"] == figures["action_sweep"]

    alone = _eval(run, tmp_path / "alone", "n_action_steps=14")
    assert alone["score"] == figures["action_sweep"][1]["score"]


def test_control_honours_the_same_settings(run: Path, tmp_path: Path) -> None:
    words = [f"out={tmp_path}", "seconds=0.3", "rate_hz=100"]
    assert main(["control", str(run), *words, "execution=temporal_ensemble"]) == 0
    result = json.loads((tmp_path / "control.json").read_text())
    assert result["execution"] == "TemporalEnsemble(decay=0.01)"
    assert main(["control", str(run), *words, "n_action_steps=1"]) == 0
    result = json.loads((tmp_path / "control.json").read_text())
    assert (result["n_action_steps"], result["ticks"]) == (1, 30)
    assert result["execution"].startswith("BestOfK(n_candidates=2")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["execution=best_of_n"], "did you mean 'best_of_k'"),
        (["execution=best_of_k", "policy.execution.n_candidates=0"], "n_candidates is 0"),
        (["execution=best_of_k", "policy.execution.n_candidates=1e9"], "n_candidates is"),
        (["execution=best_of_k", "policy.execution.decay=2"], "execution.decay"),
        (["execution=best_of_k", "n_action_steps=15"], "give n_action_steps below 15"),
        (["execution=warm_start", "policy.execution.start=0"], "execution.start is 0"),
        (["execution=warm_start", "policy.execution.start=0.1"], "leaves nothing to compute"),
        (["execution=warm_start", "n_steps=[1]"], "leaves nothing to compute"),
        (["execution=temporal_ensemble", "policy.execution.decay=abc"], "decay is 'abc'"),
        (["execution=temporal_ensemble", "policy.execution.k=1"], "policy.execution.k"),
        (["n_action_steps=[1,16]"], "give 1 to 15"),
        (["plan_consistency=true", "n_action_steps=15"], "n_action_steps below 15"),
        (["plan_consistency=maybe"], "plan_consistency is 'maybe'"),
    ],
)
def test_settings_that_do_not_fit_are_answered_in_one_line_and_nothing_runs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert main(["eval", str(run), f"out={tmp_path}", "n_episodes=1", "n_workers=0", *words]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())

"""The verb, from the command line to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from kinoise.scripts.command.cli import main

SMALL = ["n_episodes=2", "n_envs=2", "n_workers=0", "first_seed=900000"]


@pytest.fixture(scope="module")
def env_id(point: Any) -> str:
    """The id under which gymnasium knows a world whose first action runs backwards."""
    name = "DiagnosedPoint-v0"
    if name not in gymnasium.registry:
        gymnasium.register(
            id=name,
            entry_point=point.make_point,
            kwargs={"world": point.World(sign=(-1.0, 1.0))},
        )
    return name


def test_the_verb_ranks_causes_and_shows_failing_episodes_beside_demonstrations(
    trained: Path, env_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["task=push_t", "task.name=point", f"task.env_id={env_id}", "task.obs_keys=[state]"]
    assert main(["diagnose", str(trained), *task, *SMALL, f"out={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "action_convention" in said
    found = json.loads((tmp_path / "diagnosis.json").read_text())
    assert found["findings"][0]["name"] == "action_convention"
    assert found["findings"][0]["command"].startswith("kinoise ")
    page = (tmp_path / "diagnosis.html").read_text()
    assert "the opposite sign of action[0] reproduces it" in page
    assert page.count("<video") == 4
    assert "nearest demonstration" in page


def test_missing_data_are_named_before_anything_runs(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(trained), f"data={tmp_path / 'gone'}"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "give data=PATH" in said.err


def test_a_run_without_an_environment_is_diagnosed_from_its_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(trained), *SMALL, f"out={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "there is no environment" in said
    found = json.loads((tmp_path / "diagnosis.json").read_text())
    assert found["success"] is None
    assert "errors_by_step_and_dimension" in found

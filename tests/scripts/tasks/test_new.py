"""`kinoise task new`: a YAML to start from, that composes and means what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoise.scripts import tasks
from kinoise.scripts.command.cli import main
from kinoise.scripts.command.settings import prepare

from ..tiny import write_data


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "x.zarr")


def written(name: str) -> tasks.TaskSettings:
    settings = prepare("control", ["checkpoint=x", f"task={name}"], extra=[Path("my_configs")])
    return tasks.task_of(settings)


def test_a_task_of_an_environment() -> None:
    rule = "return>=-200 and reward<3"
    words = ["env=gym:Pendulum-v1", f"success={rule}", "max_steps=50", "env_kwargs={g: 9.0}"]
    assert main(["task", "new", "swing", *words]) == 0
    task = written("swing")
    assert (task.env_id, task.obs_keys, task.max_steps) == ("gym:Pendulum-v1", ["state"], 50)
    assert (task.success, task.env_kwargs, task.control_rate_hz) == (rule, {"g": 9.0}, 30.0)
    tasks.make_env(task)().close()


def test_a_task_of_a_data_set() -> None:
    assert main(["task", "new", "mine", "data=x.zarr"]) == 0
    task = written("mine")
    assert task.env_id == "kinoise/PickPlace-v0"  # where the data were recorded
    assert set(task.obs_keys) == {"ee_pos", "ee_rot", "gripper", "cube_pos", "cube_rot", "goal_pos"}


def test_a_task_of_both_has_the_names_of_the_data() -> None:
    assert main(["task", "new", "both", "data=x.zarr", "env=kinoise/PickPlace-v0"]) == 0
    assert written("both").env_id == "kinoise/PickPlace-v0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new", "mine"], "env=gym:NAME, data=PATH"),
        (["new", "my task", "data=x.zarr"], "letters, digits"),
        (["new", "../mine", "data=x.zarr"], "letters, digits"),
        (["new", "mine", "data=y.zarr"], "no data set at 'y.zarr'"),
        (["new", "mine", "env=gym:Pendulm-v1"], "did you mean"),
        (["new", "mine", "env=gym:Pendulum-v1", "data=x.zarr"], "observes"),
        (["old", "mine"], "choices: new"),
    ],
)
def test_what_cannot_be_a_task_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["task", *words]) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert message in said.err
    assert not Path("my_configs").exists()


def test_a_task_is_not_replaced_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "new", "mine", "data=x.zarr"]) == 0
    assert main(["task", "new", "mine", "data=x.zarr"]) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert main(["task", "new", "mine", "data=x.zarr", "overwrite=true"]) == 0

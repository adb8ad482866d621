"""Data and environments of others by the command alone: no YAML, no task."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml

from kinoise.datasets.storage import ReplayBuffer
from kinoise.envs.bridge.child import CALLED
from kinoise.policy.checkpoints import read_config
from kinoise.scripts import tasks
from kinoise.scripts.command.cli import main
from kinoise.scripts.command.settings import prepare

from ..tiny import SMALL, write_data

REACH = """
import gymnasium
import numpy as np

class Reach(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 12}

    def __init__(self, goal=0.0, render_mode=None):
        self.goal = goal

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.normal(size=2)
        return self.at, {}

    def step(self, action):
        self.at = self.at + 0.1 * action
        return self.at, -float(abs(self.at[0] - self.goal)), bool(self.at[0] > 5), False, {}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)

def make(goal=0.0):
    return Reach(goal)

def register():
    gymnasium.register("strange/Reach-v0", Reach)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a simulator, a data set and a run of it, and what the training said."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "kinoise_test_reach.py").write_text(REACH)
    rng = np.random.default_rng(0)
    path = folder / "data" / "reach.v2.zarr"
    with ReplayBuffer.create(path, {"control_rate_hz": 5.0}) as buffer:
        for _ in range(3):
            rows = {"obs": rng.normal(size=(20, 2)), "reward": np.zeros((20, 1))}
            pictures = np.zeros((20, 8, 8, 3), np.uint8)
            action = rng.normal(size=(20, 1)).astype(np.float32)
            buffer.append_episode({**rows, "camera": pictures, "action": action})
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        assert main(["train", "data.path=data/reach.v2.zarr", *SMALL]) == 0
    (folder / "said.txt").write_text(said.getvalue())
    return folder


@pytest.fixture
def here(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory like the prepared one; few chunks are timed."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("kinoise.scripts.eval.N_TIMED", 2)
    monkeypatch.setattr("kinoise.scripts.eval.N_WARM", 1)
    yield tmp_path
    sys.modules.pop("kinoise_test_reach", None)
    gymnasium.registry.pop("strange/Reach-v0", None)
    CALLED.clear()


@pytest.fixture
def run_of_data(here: Path) -> Path:
    return here / "runs" / "reach"


EVAL = ["n_episodes=2", "n_workers=0", "n_envs=2", "max_steps=4"]
FACTORY = "env=factory:kinoise_test_reach:make"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    both = capsys.readouterr()
    assert "Traceback" not in both.err
    return both.out + both.err


def test_a_data_set_alone_is_a_task(run_of_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "task reach: observes obs [2]; 1 actions; 5 Hz; no environment"
    assert line in (run_of_data.parents[1] / "said.txt").read_text()
    node = read_config(run_of_data / "checkpoints" / "last")["task"]
    task = tasks.read_task(node)
    assert (task.name, task.env_id, task.obs_keys) == ("reach", None, ["obs"])
    assert task.control_rate_hz == 5.0
    assert main(["eval", str(run_of_data)]) == 2
    assert "name one: env=gym:NAME" in said(capsys)


def test_a_data_set_of_our_own_environment_brings_it(tmp_path: Path) -> None:
    path = tmp_path / "own.zarr"
    with ReplayBuffer.create(path, {"env_id": "kinoise/PickPlace-v0"}) as buffer:
        other = ReplayBuffer.open(write_data(tmp_path / "x.zarr"))
        buffer.append_episode({key: other[key][:40] for key in other.keys})
    task = tasks.completed(tasks.task_of(prepare("train", [f"data.path={path}"])), path)
    assert task.env_id == "kinoise/PickPlace-v0"
    assert set(task.obs_keys) == {"ee_pos", "ee_rot", "gripper", "cube_pos", "cube_rot", "goal_pos"}


def test_a_task_or_an_experiment_that_is_named_stays() -> None:
    words = ["data.path=data/any.zarr"]
    assert prepare("train", words).task.name == "any"
    assert prepare("train", [*words, "task=push_t"]).task.name == "push_t"
    assert prepare("train", [*words, "experiment=pusht_human"]).task.name == "gym_pusht"
    assert prepare("train", [*words, "task.name=mine"]).task.name == "mine"
    assert prepare("train", []).task.name == "pick_place"


@pytest.mark.parametrize(
    "words",
    [
        [FACTORY, "success=reward>=-100"],
        [FACTORY, "success=terminated", "env_kwargs={goal: 1.0}", "rename=null"],
        ["env=gym:strange/Reach-v0", "env_setup=kinoise_test_reach:register", "success=terminated"],
        [FACTORY, "success=terminated", f"env_python={sys.executable}"],
    ],
    ids=["rule", "arguments", "setup", "elsewhere"],
)
def test_a_run_is_evaluated_where_the_command_says(
    run_of_data: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    videos = "videos=true" if words[0] != FACTORY else "videos=false"
    assert main(["eval", str(run_of_data), *words, *EVAL, videos]) == 0
    assert "only observation is taken for the policy's 'obs'" in said(capsys)
    figures = json.loads((run_of_data / "metrics.json").read_text())
    assert figures["success"] == float("reward" in words[1])
    assert figures["length"] == 4
    assert (run_of_data / "videos" / "best.mp4").exists() == (videos == "videos=true")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=gym:Pendulum-v1"], "shape (2,)"),
        (["env=gym:CartPole-v1"], "CartPole-v1 gives (4,)"),
        (["env=gym:Pendulm-v1"], "did you mean 'Pendulum-v1'"),
        ([FACTORY, "success=rewrad>0"], "did you mean 'reward'"),
        ([FACTORY], "success=terminated"),
        (["env=factory:kinoise_test_reach:mak"], "did you mean 'make'"),
        ([FACTORY, "env_python=nowhere/python"], "cannot start 'nowhere/python'"),
        ([FACTORY, "env_kwargs={gaol: 1}"], "did you mean 'goal'"),
        ([FACTORY, "max_steps=0"], "max_steps is 0"),
        ([FACTORY, "action_bounds=clop"], "did you mean 'clip'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    run_of_data: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run_of_data), *EVAL, "videos=false", *words]) == 2
    assert message in said(capsys)
    assert not (run_of_data / "metrics.json").exists()


def test_a_training_is_scored_where_the_command_says_and_remembers_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = ["evaluation.n_episodes=1", "evaluation.n_workers=0", "success=terminated"]
    words = ["train", "data.path=data/reach.v2.zarr", *SMALL, *score, "max_steps=3"]
    assert main([*words, FACTORY, "overwrite=true"]) == 0
    assert "success 0.000" in said(capsys)
    # A factory is the user's own word and never the checkpoint's.
    for trust in ("trust=false", "trust=true"):
        assert main(["eval", "runs/reach", trust]) == 2
        assert f"name it yourself: {FACTORY} success=terminated max_steps=3" in said(capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"env_id": "factory:os:getcwd"},
        {"env_setup": "os:getcwd"},
        {"env_python": "/bin/sh"},
    ],
)
def test_a_checkpoint_cannot_call_for_code_even_where_it_is_trusted(
    run_of_data: Path, change: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_of_data / "checkpoints" / "last" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["task"] |= {"env_id": "gym:Pendulum-v1", **change}
    path.write_text(yaml.safe_dump(config))
    assert main(["eval", str(run_of_data), "trust=true"]) == 2
    assert "name it yourself" in said(capsys)


def test_workers_are_many_where_steps_are_slow() -> None:
    assert tasks.Pace(step_seconds=1e-5).workers("auto") <= 2
    assert tasks.Pace(step_seconds=0.1).workers("auto") >= 1
    assert tasks.Pace(step_seconds=0.1).workers(7) == 7
    assert tasks.Pace().envs("auto") == 16
    assert tasks.Pace(0.1, bridged=True).envs("auto") == 1
    assert tasks.Pace(0.1, bridged=True).envs("auto", batch_size=8) == 8


def test_control_runs_where_the_command_says(run_of_data: Path) -> None:
    words = [FACTORY, "success=terminated", "seconds=0.2"]
    assert main(["control", str(run_of_data), *words]) == 0

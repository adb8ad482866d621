"""What a task node may say, and what a checkpoint's may not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml
from omegaconf import OmegaConf

from kinoise.envs.errors import EnvError
from kinoise.policy import PolicyError
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.cli import main
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.errors import UsageError

PICK_PLACE = {"name": "pick_place", "env_id": "kinoise/PickPlace-v0", "obs_keys": ["ee_pos"]}
OLD_PICK_PLACE = {
    "name": "pick_place_image",
    "env": {
        "_target_": "kinoise.envs.make_env",
        "_partial_": True,
        "env_id": "kinoise/PickPlace-v0",
        "cameras": ["front"],
        "image_size": 48,
    },
    "expert": {"_target_": "kinoise.envs.make_expert", "env_id": "kinoise/PickPlace-v0"},
    "perturb": {"_target_": "kinoise.envs.perturbation.ActionPushes", "scale": [0.1]},
    "symmetry": None,
    "obs_keys": ["ee_pos", "image_front"],
    "action": {"meaning": "absolute", "units": "m"},
    "control_rate_hz": 10.0,
}


def checkpoint_with(folder: Path, task: Any, **config: Any) -> Path:
    """Write as much of a checkpoint as reading its task takes."""
    folder.mkdir(exist_ok=True)
    (folder / "policy.safetensors").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump({"task": task, **config}))
    return folder


def task_of(folder: Path, task: Any, **choices: Any) -> tasks.TaskSettings:
    cfg = OmegaConf.create({"task": None, "trust": False, **choices})
    return tasks.task_of(cfg, checkpoint_with(folder, task))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module on the path that leaves a mark when it is imported."""
    (tmp_path / "kinoise_test_trap.py").write_text(
        f"open({str(tmp_path / 'mark')!r}, 'w').close()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "kinoise_test_trap"
    sys.modules.pop("kinoise_test_trap", None)


def test_a_checkpoints_own_task_is_made(tmp_path: Path) -> None:
    task = task_of(tmp_path, {**PICK_PLACE, "env_kwargs": {"max_steps": 7}})
    env = tasks.make_env(task)()
    assert env.unwrapped.max_steps == 7
    assert tasks.control_rate(task) == 10.0


def test_the_task_of_an_old_checkpoint_is_read_as_data(tmp_path: Path) -> None:
    task = task_of(tmp_path, OLD_PICK_PLACE)
    assert task.env_kwargs == {"cameras": ["front"], "image_size": 48}
    shapes = tasks.env_shapes(task)
    assert shapes is not None
    assert shapes["image_front"] == (48, 48, 3)
    assert task.spec is not None
    assert task.spec.expert is not None


@pytest.mark.parametrize("target", ["os.system", "builtins.exec", "kinoise_test_trap.make"])
def test_code_that_an_old_node_names_is_not_looked_at(
    tmp_path: Path, module: str, target: str
) -> None:
    env = {**OLD_PICK_PLACE["env"], "_target_": target}  # type: ignore[dict-item]
    node = {**OLD_PICK_PLACE, "env": env, "expert": env, "symmetry": {"_target_": target}}
    tasks.make_env(task_of(tmp_path, node))().close()
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "env_id", ["kinoise_test_trap:Trap-v0", "Pendulum-v1", "CartPole-v1", "kinoise/Nothing-v0"]
)
@pytest.mark.parametrize("old", [False, True])
def test_a_checkpoints_foreign_environment_needs_trust(
    tmp_path: Path, module: str, env_id: str, old: bool
) -> None:
    node = {"name": "x", "env": {"env_id": env_id}} if old else {"name": "x", "env_id": env_id}
    with pytest.raises(UsageError, match=r"task=NAME, or trust=true"):
        task_of(tmp_path, node)
    assert not (tmp_path / "mark").exists()
    assert task_of(tmp_path, node, trust=True).env_id == env_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env_kwargs": {"image_size": 10**9}}, "image_size lies between"),
        ({"env_kwargs": {"frame_size": [10**9, 1]}}, "frame width lies between"),
        ({"env_kwargs": {"max_steps": -1}}, "max_steps lies between"),
        ({"env_kwargs": {"image_size": {"_target_": "os.system"}}}, "image_size"),
        ({"env_kwargs": {"cameras": "front"}}, "cameras"),
        ({"env_kwargs": {"task": 1}}, "unknown argument"),
        ({"env_kwargs": {"entry_point": "os:system"}}, "unknown argument"),
        ({"env_kwargs": {"success": "terminated"}}, "reports success itself"),
        ({"env_kwargs": {"disable_env_checker": True}}, "unknown argument"),
    ],
)
def test_arguments_are_held_to_the_constructor(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(EnvError, match=message):
        tasks.make_env(task_of(tmp_path, {**PICK_PLACE, **change}))()


@pytest.mark.parametrize(
    "node",
    [
        None,
        "pick_place",
        [],
        {},
        {"name": 3, "env_id": None},
        {"name": "a\nb"},
        {"name": "x" * 1000},
        {**PICK_PLACE, "env_id": ["kinoise/PickPlace-v0"]},
        {**PICK_PLACE, "env_id": 7},
        {**PICK_PLACE, "obs_keys": "ee_pos"},
        {**PICK_PLACE, "obs_keys": [1]},
        {**PICK_PLACE, "env_kwargs": [1]},
        {**PICK_PLACE, "env_kwargs": {1: 2}},
        {**PICK_PLACE, "success": "always"},
        {**PICK_PLACE, "control_rate_hz": "fast"},
        {**PICK_PLACE, "control_rate_hz": -1},
        {**PICK_PLACE, "_target_": "os.system"},
        {"name": "x", "env": {"_target_": "os.system", "command": "true"}},
        {"name": "x", "env": "kinoise/PickPlace-v0"},
    ],
)
def test_a_node_of_another_form_is_refused_in_one_line(tmp_path: Path, node: Any) -> None:
    with pytest.raises((UsageError, PolicyError)) as error:
        task_of(tmp_path, node)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_nothing_in_a_checkpoint_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINOISE_TEST_SECRET", "hunter2")
    secret = "${oc.env:KINOISE_TEST_SECRET}"
    with pytest.raises(PolicyError, match="is not resolved") as error:
        task_of(tmp_path, {**PICK_PLACE, "name": secret, "env_kwargs": {"renderer": secret}})
    assert "hunter2" not in str(error.value)
    foreign = OmegaConf.create(assembly.literal({"data": {"path": secret, "more": [secret]}}))
    assert foreign.data.path == secret
    assert OmegaConf.to_container(foreign, resolve=True)["data"]["more"] == [secret]  # type: ignore[call-overload,index]


def test_a_task_given_by_the_user_may_be_any_environment() -> None:
    cfg = compose("eval", ["checkpoint=x", "task=push_t", "task.env_id=Pendulum-v1"])
    assert tasks.task_of(cfg).env_id == "Pendulum-v1"


def test_every_setting_of_a_task_is_read_or_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'obs_keys'"):
        tasks.read_task({**PICK_PLACE, "obs_key": []})


def test_a_verb_without_a_task_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["collect", f"out={tmp_path / 'a'}"], ["train", f"run={tmp_path / 'b'}"]):
        assert main([*words, "task=null"]) != 0
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "task=" in said


@pytest.mark.parametrize("env_id", ["CartPol-v1", "no_such_module:Env-v0", "Blackjack-v1"])
def test_an_environment_that_cannot_be_used_is_named_in_one_line(
    env_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = compose("eval", ["checkpoint=x", "task=push_t", f"task.env_id='{env_id}'"])
    with pytest.raises(EnvError) as error:
        tasks.make_env(tasks.task_of(cfg))()
    assert "\n" not in str(error.value)


def test_a_plain_environments_rate_is_its_own_or_the_configured() -> None:
    node = {"name": "x", "env_id": "Pendulum-v1", "obs_keys": ["state"]}
    rate = gymnasium.make("Pendulum-v1").metadata["render_fps"]
    assert tasks.control_rate(tasks.read_task(node)) == rate
    assert tasks.control_rate(tasks.read_task({**node, "control_rate_hz": 5})) == 5.0

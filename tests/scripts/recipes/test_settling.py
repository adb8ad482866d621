"""recipe=auto and minutes= through the command: printed, stored, overridden and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoise.policy import load_policy
from kinoise.policy.checkpoints import read_config, read_meta
from kinoise.policy.transforms import Recovery, SinCos
from kinoise.scripts import recipes, tasks
from kinoise.scripts.command.cli import main
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.settings import prepare
from kinoise.scripts.recipes import pace
from kinoise.scripts.recipes.given import Baseline

from ..tiny import SMALL, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "d.zarr")


def settled(data: Path, *words: str, rate: float = 7.0) -> Any:
    """Return the settings of a training after its recipe, on a machine of that many steps a s."""
    from kinoise.datasets.storage import ReplayBuffer

    settings = prepare("train", [f"data.path={data}", *words])
    task = tasks.task_of(settings)
    return recipes.settle(settings, task, ReplayBuffer.open(data), measure=lambda *_, **__: rate)


def named(settings: Any) -> dict[str, Any]:
    return {row["setting"]: row for row in settings.recipe["choices"]}


def test_without_a_recipe_nothing_changes(data: Path) -> None:
    settings = prepare("train", [f"data.path={data}"])
    assert settings.recipe == {"name": "none"}
    assert settled(data) == settings


def test_the_choices_are_printed_with_reasons(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settled(data, "recipe=auto")
    printed = capsys.readouterr().out
    assert "recipe auto: every choice is an override" in printed
    for setting, row in named(settings).items():
        assert setting in printed
        assert row["reason"].split()[0] in printed


def test_the_choices_are_what_is_trained(data: Path) -> None:
    settings = settled(data, "recipe=auto")
    rows = named(settings)
    assert settings.policy["horizon"] == rows["policy.horizon"]["value"]
    assert settings.policy["network"]["width"] == rows["policy.network.width"]["value"]
    assert settings.data.batch_size == rows["data.batch_size"]["value"] < 256
    assert settings.trainer["n_steps"] == rows["trainer.n_steps"]["value"]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a robot whose actions are steps: of a place, and of a heading that wraps."""
    from kinoise.datasets.storage import ReplayBuffer

    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("steps") / "d.zarr"
    with ReplayBuffer.create(path) as buffer:
        for _ in range(20):
            action = rng.uniform(-0.5, 0.5, (60, 2)).astype(np.float32)
            place, heading = np.concatenate([np.zeros((1, 2)), action.cumsum(0)[:-1]]).T
            wrapped = (2 * heading + np.pi) % (2 * np.pi) - np.pi
            buffer.append_episode({"state": np.stack([wrapped, place], 1), "action": action})
    return path


def test_steps_and_angles_that_are_found_become_transforms_of_the_policy(
    steps: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [f"data.path={steps}", f"run={run}", *SMALL, "trainer.n_steps=2", "recipe=auto"]
    assert main(["train", *words]) == 0
    recovery, sin_cos = load_policy(run).transforms
    assert isinstance(recovery, Recovery)
    assert (recovery.key, recovery.key_columns, recovery.columns) == ("state", [1, 0], [0, 1])
    assert recovery.gains == [1.0, 2.0]
    assert recovery.ranges.bounds("action")[1].tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert isinstance(sin_cos, SinCos)
    assert sin_cos.columns == [0]


@pytest.mark.parametrize("words", [("transform=none",), ("transform=clip_observation",)])
def test_transforms_that_are_given_stay(steps: Path, words: tuple[str, ...]) -> None:
    settings = settled(steps, "recipe=auto", *words)
    assert named(settings)["policy.transforms"]["given"]
    assert len(settings.policy["transforms"]) == (words[0] != "transform=none")


@pytest.mark.parametrize(
    "words",
    [
        ("policy.horizon=12",),
        ("data.batch_size=256",),  # the default, but said
        ("network=unet1d",),
        ("policy.network.depth=1",),
        ("family=dit",),
        ("trainer.learning_rate=7e-4", "trainer.n_steps=11"),
    ],
)
def test_what_the_user_gives_wins_and_is_said(
    data: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settled(data, "recipe=auto", *words)
    own = prepare("train", [f"data.path={data}", *words])
    for word in words:
        key, _, _ = word.partition("=")
        if key.startswith("policy.horizon"):
            assert settings.policy["horizon"] == own.policy["horizon"]
        if key in ("network", "policy.network.depth", "family"):
            assert settings.policy["network"]["_target_"] == own.policy["network"]["_target_"]
            assert named(settings)["network"]["given"]
        if key.startswith("trainer"):
            name = key.partition(".")[2]
            assert settings.trainer[name] == own.trainer[name]
        if key.startswith("data."):
            assert settings.data.batch_size == 256
    assert "given" in capsys.readouterr().out


def test_minutes_become_steps_for_every_recipe(data: Path) -> None:
    for recipe in ("none", "auto", "diffusion_policy"):
        settings = settled(data, f"recipe={recipe}", "minutes=0.5")
        assert settings.trainer["n_steps"] == 210
        assert settings.trainer["warmup_steps"] == 21
        assert "measured here" in named(settings)["trainer.n_steps"]["reason"]


def test_minutes_and_steps_are_refused_together(data: Path) -> None:
    with pytest.raises(UsageError, match="give one"):
        settled(data, "minutes=1", "trainer.n_steps=10")


def test_settings_are_settled_once(data: Path) -> None:
    from kinoise.datasets.storage import ReplayBuffer

    settings = settled(data, "recipe=auto", "minutes=0.5")
    task = tasks.task_of(settings)
    assert recipes.settle(settings, task, ReplayBuffer.open(data)) is settings


def test_the_pace_is_that_of_the_clock(data: Path) -> None:
    from kinoise.datasets.storage import ReplayBuffer

    settings = prepare("train", [f"data.path={data}", *SMALL])
    ticks = iter(range(10_000))
    task = tasks.completed(tasks.task_of(settings), data)
    rate = pace.steps_per_second(
        settings, task, ReplayBuffer.open(data), clock=lambda: next(ticks) * 0.25
    )
    assert rate == pytest.approx(4)


def test_the_choices_stand_with_the_run_and_are_kept_when_it_is_resumed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", f"data.path={data}", f"run={run}", *SMALL, "trainer.warmup_steps=1"]
    assert main([*words, "recipe=auto", "policy.horizon=20"]) == 0
    begun = read_config(run / "checkpoints" / "last")
    assert json.loads((run / "recipe.json").read_text()) == begun["recipe"]
    assert begun["policy"]["horizon"] == 20
    width = begun["policy"]["n_action_steps"]
    capsys.readouterr()

    # Neither the recipe nor the horizon is said again, and two steps more are.
    again = [word for word in words if not word.startswith("trainer.n_steps")]
    assert main([*again, "resume=true", "trainer.n_steps=4"]) == 0
    assert "recipe auto" not in capsys.readouterr().out
    last = read_config(run / "checkpoints" / "last")
    assert read_meta(run / "checkpoints" / "last")["step"] == 4
    assert last["policy"]["horizon"] == 20
    assert last["policy"]["n_action_steps"] == width
    assert last["recipe"] == begun["recipe"]


def test_a_record_that_sets_anything_else_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoise.policy import checkpoints

    rows = [{"setting": "run", "value": "/tmp/elsewhere"}]
    record = {"recipe": {"name": "auto", "choices": rows}}
    monkeypatch.setattr(checkpoints, "read_config", lambda folder: record)
    with pytest.raises(UsageError, match="record of its recipe is damaged"):
        settled(data, f"run={tmp_path}", "resume=true")


def test_a_word_names_a_setting_what_holds_it_and_its_parts() -> None:
    base = Baseline.of(["policy.network.depth=1", "+trainer.x=1", "network@policy.network=dit"])
    assert base.names("policy.network.width") is False
    assert base.names("policy.network") is True
    assert base.names("network") is True
    assert base.names("trainer.n_steps") is False


def test_overrides_that_hold_a_reference_stay_text() -> None:
    config = compose("train", ["run=runs/${seed}"])
    assert list(config.given) == ["run=runs/${seed}"]


def test_inspecting_proposes_what_training_would_take(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(data), "plot=false"]) == 0
    printed = capsys.readouterr().out
    for setting in recipes.rules.PROPOSED:
        assert setting in printed

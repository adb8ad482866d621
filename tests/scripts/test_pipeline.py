"""The whole stack at its smallest, through the command line, with real files and processes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoise.datasets.storage import ReplayBuffer
from kinoise.policy.checkpoints import load_policy, read_meta
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.cli import main
from kinoise.scripts.command.composing import compose

#: The command in a process of its own.
COMMAND = (sys.executable, "-m", "kinoise.scripts.command.cli")
#: A network and a schedule that train in a second.
SMALL = [
    "policy.network.width=32",
    "policy.network.depth=2",
    "trainer.warmup_steps=2",
    "data.batch_size=16",
    "n_threads=1",
]


#: Sizes of PickPlace's observations.
PICK_PLACE = {"ee_pos": 3, "ee_rot": 2, "gripper": 1, "cube_pos": 3, "cube_rot": 2, "goal_pos": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    out = folder / "pick_place.zarr"
    assert main(["collect", f"out={out}", "n_episodes=3", "n_workers=0"]) == 0
    return out


@pytest.fixture(scope="module")
def run(folder: Path, data: Path) -> Path:
    out = folder / "run"
    words = ["train", f"data.path={data}", f"run={out}", "trainer.n_steps=30", *SMALL]
    assert main([*words, "evaluation.n_episodes=2", "evaluation.n_workers=0"]) == 0
    return out


def test_collecting_records_what_the_expert_saw_and_did(data: Path) -> None:
    buffer = ReplayBuffer.open(data)
    assert buffer.n_episodes == 3
    assert buffer.attrs["env_id"] == "kinoise/PickPlace-v0"
    assert buffer.attrs["control_rate_hz"] == 10.0
    assert buffer.attrs["action"]["meaning"] == "absolute"
    assert {"ee_pos", "cube_pos", "goal_pos", "action"} <= set(buffer.keys)


def test_appending_continues_the_seeds(data: Path, tmp_path: Path) -> None:
    grown, whole = tmp_path / "grown.zarr", tmp_path / "whole.zarr"
    for words in (["n_episodes=1"], ["n_episodes=2", "append=true"]):
        assert main(["collect", f"out={grown}", "n_workers=0", *words]) == 0
    assert main(["collect", f"out={whole}", "n_workers=0", "n_episodes=3", "n_envs=1"]) == 0
    a, b = ReplayBuffer.open(grown), ReplayBuffer.open(whole)
    assert np.array_equal(a.read("action"), b.read("action"))
    assert a.episode_ends.tolist() == b.episode_ends.tolist()


def test_a_controller_leaves_training_its_threads(run: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        controller = assembly.load_controller(str(run))
        controller([{key: np.zeros(n, np.float32) for key, n in PICK_PLACE.items()}], [0], [0])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_teacher_of_reflow_computes_where_the_student_does(run: Path, data: Path) -> None:
    """On a device without values, which every machine has, in the place of a GPU."""
    words = [f"data.path={data}", "coupling=reflow", f"policy.coupling.teacher={run}", *SMALL]
    config = compose("train", words)
    task = tasks.task_of(config)
    buffer = assembly.open_data(config, task)
    loaders = assembly.load_windows(config, buffer, task)
    node = assembly.fill_dimensions(assembly.plain(config.policy), buffer, list(PICK_PLACE))
    student = assembly.build_policy(node, buffer, loaders.train, 0, "meta")
    teacher = student.coupling.policy  # type: ignore[union-attr]
    assert {p.device.type for p in student.parameters()} == {"meta"}
    assert {p.device.type for p in teacher.parameters()} == {"meta"}


@pytest.mark.parametrize(("options", "inherits"), [((), True), (("path=vp_linear",), False)])
def test_the_student_of_reflow_starts_from_its_teacher_where_it_can(
    run: Path, data: Path, options: tuple[str, ...], inherits: bool
) -> None:
    words = [f"data.path={data}", "coupling=reflow", f"policy.coupling.teacher={run}", *SMALL]
    config = compose("train", [*words, *options])
    task = tasks.completed(tasks.task_of(config), data)
    buffer = assembly.open_data(config, task)
    loaders = assembly.load_windows(config, buffer, task)
    node = assembly.fill_dimensions(assembly.plain(config.policy), buffer, list(PICK_PLACE))
    student = assembly.build_policy(node, buffer, loaders.train, 0, "cpu")
    teacher = load_policy(run)
    weights = dict(student.network.named_parameters())
    same = [torch.equal(weights[n], p) for n, p in teacher.network.named_parameters()]
    assert all(same) == inherits


def test_training_leaves_a_scored_checkpoint_and_curves(run: Path) -> None:
    meta = read_meta(run)
    assert meta["step"] == 30
    assert set(meta["metrics"]) >= {"success", "score"}
    assert (run / "metrics.jsonl").read_text().count("\n") >= 1


def test_a_tuned_grid_is_stored_with_the_policy_and_comes_closer(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    words = ["n_steps=3", "n_chunks=8", "n_tables=30", f"out={out}"]
    assert main(["tune", str(run), *words]) == 0
    metrics = read_meta(out)["metrics"]
    assert metrics["grid_error"] <= min(metrics["grid_errors"].values())
    tuned = load_policy(out)
    assert tuned.table.n_evaluations == 3
    own, theirs = load_policy(run).state_dict(), tuned.state_dict()
    assert all((own[key] == theirs[key]).all() for key in own)


def test_a_policy_is_sampled_along_another_path_and_with_guidance(
    run: Path, tmp_path: Path
) -> None:
    words = ["sampler=ddim", "policy.sampler.path=vp_cosine", "guidance=dynamic_clamp"]
    small = ["n_episodes=1", "n_workers=0", "videos=false", f"out={tmp_path}"]
    assert main(["eval", str(run), *words, *small]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["sampler"] == "ddim"


def test_a_width_trained_at_anothers_learning_rate_is_given_its_factors(
    data: Path, tmp_path: Path
) -> None:
    words = ["train", f"data.path={data}", f"run={tmp_path}", "trainer.n_steps=2", *SMALL]
    assert main([*words, "evaluation.n_episodes=0", "base_network={width: 16}"]) == 0
    assert read_meta(tmp_path)["step"] == 2


def test_evaluation_does_not_depend_on_the_number_of_parallel_environments(
    run: Path, tmp_path: Path
) -> None:
    seen = []
    for n_envs, n_workers in ((1, 0), (4, 0), (16, 0), (2, 2)):
        words = [f"n_envs={n_envs}", f"n_workers={n_workers}", "n_episodes=8", "videos=false"]
        assert main(["eval", str(run), f"out={tmp_path}", *words]) == 0
        seen.append(json.loads((tmp_path / "metrics.json").read_text())["episodes"])
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_evaluation_writes_one_page_with_video(run: Path, tmp_path: Path) -> None:
    words = ["n_episodes=2", "n_workers=0", "n_steps=[1,2]"]
    assert main(["eval", str(run), f"out={tmp_path}", *words]) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:video/mp4;base64,") == 3
    assert "<script src" not in page
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["n_steps"] for row in metrics["sweep"]] == [1, 2]
    assert metrics["chunk_ms_p50"] > 0


def test_another_sampler_evaluates_the_same_checkpoint(run: Path, tmp_path: Path) -> None:
    words = ["sampler=dpmpp_2m", "policy.sampler.n_steps=3", "n_episodes=1", "n_workers=0"]
    assert main(["eval", str(run), f"out={tmp_path}", "videos=false", *words]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["sampler"], metrics["nfe"]) == ("dpmpp_2m", 3)


def test_control_runs_at_the_rate_of_the_task(run: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert main(["control", str(run), "seconds=1", f"out={tmp_path}"]) == 0
    result = json.loads((tmp_path / "control.json").read_text())
    assert result["ticks"] == 10
    assert time.monotonic() - began >= 0.9


def test_an_image_policy_goes_the_same_way(tmp_path: Path) -> None:
    data, run = tmp_path / "data.zarr", tmp_path / "run"
    task = ["task=pick_place_image", "task.env_kwargs.image_size=64"]
    assert main(["collect", *task, f"out={data}", "n_episodes=1", "n_workers=0"]) == 0
    assert ReplayBuffer.open(data)["image_front"].dtype == np.uint8
    small = ["policy.encoder.image.width=8", "data.batch_size=4", "trainer.n_steps=2"]
    words = ["train", *task, "encoder=image", f"data.path={data}", f"run={run}", *small]
    assert main([*words, "n_threads=1", "evaluation.n_episodes=0"]) == 0
    words = ["eval", str(run), "n_episodes=1", "n_workers=0", "n_envs=1", "videos=false"]
    assert main([*words, f"out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["task"] == "pick_place_image"

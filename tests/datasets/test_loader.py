"""Batches: the right numbers, in an order that seed and step decide alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.loader import Loaders, load_windows
from kinoise.datasets.storage import ReplayBuffer

MakeBuffer = Callable[..., ReplayBuffer]
SIZES = {"n_obs_steps": 2, "horizon": 6, "n_action_steps": 3, "batch_size": 8}


def load(buffer: ReplayBuffer | Path, **options: Any) -> Loaders:
    return load_windows(buffer, **{"obs_keys": ["state"], **SIZES, **options})


def assert_equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left["obs"].keys() == right["obs"].keys()
    for key in left["obs"]:
        assert torch.equal(left["obs"][key], right["obs"][key])
    assert torch.equal(left["action"], right["action"])
    assert torch.equal(left["mask"], right["mask"])


def test_a_batch_equals_windows_cut_one_by_one(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([20, 9, 14])
    loader = load(buffer, obs_keys=["state", "image"], padding="mask").train
    batch = loader.gather(np.arange(len(loader.windows)))
    window = 0
    for episode in range(3):
        steps = buffer.episode(episode)
        length = len(steps["action"])
        for now in range(length - 6 + 2 + 1 + 1):
            wanted = np.arange(now - 1, now + 5)
            rows = wanted.clip(0, length - 1)
            np.testing.assert_array_equal(
                batch["action"][window], steps["action"][rows].astype(np.float32)
            )
            np.testing.assert_array_equal(batch["obs"]["state"][window], steps["state"][rows[:2]])
            np.testing.assert_array_equal(batch["obs"]["image"][window], steps["image"][rows[:2]])
            np.testing.assert_array_equal(batch["mask"][window], wanted == rows)
            window += 1
    assert window == len(loader.windows)
    assert batch["obs"]["image"].dtype == torch.uint8
    assert batch["obs"]["state"].dtype == batch["action"].dtype == torch.float32


def test_a_batch_depends_on_seed_and_step_only(make_buffer: MakeBuffer) -> None:
    path = make_buffer([20, 30]).path
    straight = load(path, seed=3).train
    served = [straight.batch(step) for step in range(17)]
    resumed = load(path, seed=3).train
    for step in (16, 2, 9, 0):
        assert_equal(resumed.batch(step), served[step])
    other = load(path, seed=4).train
    assert not torch.equal(other.batch(0)["action"], served[0]["action"])


@pytest.mark.parametrize(("last_batch", "visited"), [("drop", 40), ("wrap", 48)])
def test_an_epoch_visits_every_window_once_but_for_the_declared_rest(
    make_buffer: MakeBuffer, last_batch: str, visited: int
) -> None:
    loader = load(make_buffer([20, 30]), last_batch=last_batch).train
    assert len(loader.windows) == 18 + 28
    for epoch in range(3):
        steps = range(epoch * loader.batches_per_epoch, (epoch + 1) * loader.batches_per_epoch)
        rows = torch.cat([loader.batch(step)["action"] for step in steps])
        assert len(rows) == visited
        assert len(torch.unique(rows, dim=0)) == min(visited, len(loader.windows))
    assert not torch.equal(
        loader.batch(0)["action"], loader.batch(loader.batches_per_epoch)["action"]
    )


def test_in_order_serves_every_window_exactly_once(make_buffer: MakeBuffer) -> None:
    loader = load(make_buffer([20, 30])).train
    batches = list(loader.in_order())
    assert [len(batch["action"]) for batch in batches] == [8, 8, 8, 8, 8, 6]


def test_validation_windows_come_from_other_episodes_over_the_same_tensors(
    make_buffer: MakeBuffer,
) -> None:
    loaders = load(make_buffer([20] * 10), validation_fraction=0.3)
    assert len(loaders.validation_episodes) == 3
    assert loaders.validation is not None
    assert loaders.validation.steps["action"] is loaders.train.steps["action"]
    train_rows = set(loaders.train.windows.action_rows().ravel())
    assert train_rows.isdisjoint(loaders.validation.windows.action_rows().ravel())


def test_n_episodes_takes_the_first_and_skips_a_damaged_rest(tmp_path: Path) -> None:
    with ReplayBuffer.create(tmp_path / "d.zarr") as buffer:
        for seed in range(3):
            rows = np.random.default_rng(seed).normal(size=(4096, 2))
            buffer.append_episode({"action": rows, "state": rows})
    (tmp_path / "d.zarr" / "data" / "state" / "c.2.0").write_bytes(b"spoiled")
    with pytest.raises(DatasetError, match="n_episodes=2"):
        load(tmp_path / "d.zarr")
    loader = load(tmp_path / "d.zarr", n_episodes=2).train
    assert len(loader.steps["action"]) == 8192


def test_pictures_beyond_the_memory_limit_are_mapped_and_equal(
    make_buffer: MakeBuffer, tmp_path: Path
) -> None:
    buffer = make_buffer([20, 30])
    keys = {"obs_keys": ["image"]}
    inside = load(buffer, **keys).train
    mapped = load(buffer, **keys, memory_bytes=0, scratch=tmp_path).train
    assert_equal(inside.batch(5), mapped.batch(5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zarr"]


def test_float_pictures_with_whole_numbers_become_bytes_and_others_are_refused(
    tmp_path: Path,
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3)).astype(np.float32)
    for name, scale in (("whole", 1), ("fractions", 1 / 255)):
        with ReplayBuffer.create(tmp_path / name) as buffer:
            buffer.append_episode(
                {"image": pictures * np.float32(scale), "action": np.zeros((30, 2))}
            )
    batch = load(tmp_path / "whole", obs_keys=["image"]).train.batch(0)
    assert batch["obs"]["image"].dtype == torch.uint8
    with pytest.raises(DatasetError, match="store them as uint8"):
        load(tmp_path / "fractions", obs_keys=["image"])


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"obs_keys": ["sate"]}, "has no key 'sate'; did you mean 'state'"),
        ({"batch_size": 100}, "46 windows"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"last_batch": "keep"}, "unknown last_batch"),
        ({"n_episodes": 3}, "give 1 to 2"),
        ({"validation_fraction": 1.0}, "give 0 <= it < 1"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    make_buffer: MakeBuffer, options: dict[str, Any], fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault) as caught:
        load(make_buffer([20, 30]), **options)
    assert "\n" not in str(caught.value)


def test_an_empty_data_set_is_told_in_one_line(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "empty.zarr").close()
    with pytest.raises(DatasetError, match="no episode yet"):
        load(tmp_path / "empty.zarr")


@pytest.mark.slow
def test_the_benchmark_finds_both_loaders_equal_and_prints_its_table() -> None:
    program = Path(__file__).resolve().parents[2] / "benchmarks" / "loader.py"
    command = [sys.executable, str(program), "--repeats", "1", "--workers", "0", "--no-write"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "windows/s" in done.stdout

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
import zarr

from kinoise.datasets import memory
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


def test_a_pass_serves_every_validation_window_once_and_the_same_way_each_time(
    make_buffer: MakeBuffer,
) -> None:
    symmetry = {"state": (-np.eye(3), np.zeros(3)), "action": (-np.eye(2), np.zeros(2))}
    options = {"validation_fraction": 0.4, "split_seed": 2, "symmetry": symmetry}
    loaders = load(make_buffer([20, 30, 15, 9, 40]), **options)
    validation = loaders.validation
    assert validation is not None
    batches = list(validation.batches())
    count = len(validation.windows)
    assert [len(batch["action"]) for batch in batches] == [8] * (count // 8) + [count % 8]
    served = torch.cat([batch["action"] for batch in batches])
    rows = validation.windows.action_rows()
    assert torch.equal(served, validation.steps["action"][torch.from_numpy(rows)])
    for batch, again in zip(batches, validation.batches(), strict=True):
        assert_equal(batch, again)


def test_a_validation_set_smaller_than_a_batch_is_served_too(make_buffer: MakeBuffer) -> None:
    loaders = load(make_buffer([60, 6]), validation_fraction=0.1, split_seed=2, batch_size=40)
    assert loaders.validation_episodes.tolist() == [1]
    assert loaders.validation is not None
    (batch,) = loaders.validation.batches()
    assert len(batch["action"]) == len(loaders.validation.windows) == 4


def test_the_loader_knows_the_episodes_that_it_shows_for_the_normaliser(
    make_buffer: MakeBuffer,
) -> None:
    buffer = make_buffer([20, 30, 1, 25, 40, 22])
    loaders = load(buffer, n_episodes=5, validation_fraction=0.25)
    shown = set(loaders.train.windows.episodes.tolist())
    assert shown == set(loaders.train_episodes.tolist()) - {2}  # too short for a window
    assert shown.isdisjoint(loaders.validation_episodes.tolist())
    assert 5 not in shown


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
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"batch_size": "many"}, "batch_size is 'many'"),
        ({"batch_size": 10**12, "last_batch": "wrap"}, "lower the horizon or the batch size"),
        ({"horizon": 10**8, "pad_after": 10**8}, "lower the horizon or the batch size"),
        ({"horizon": 10**30, "pad_after": 10**30}, "horizon is 1000"),
        ({"horizon": "long"}, "horizon is 'long'"),
        ({"n_episodes": 3}, "n_episodes is 3; give a whole number from 1 to 2"),
        ({"n_episodes": 0}, "n_episodes is 0"),
        ({"n_episodes": -1}, "n_episodes is -1"),
        ({"n_episodes": "abc"}, "n_episodes is 'abc'"),
        ({"n_episodes": True}, "n_episodes is True"),
        ({"n_episodes": 1, "validation_fraction": 0.5}, "cannot divide 1 episode"),
        ({"validation_fraction": 1.0}, "give 0 <= it < 1"),
        ({"validation_fraction": -1}, "give 0 <= it < 1"),
        ({"validation_fraction": float("nan")}, "give 0 <= it < 1"),
        ({"validation_fraction": "half"}, "give 0 <= it < 1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1 << 64}, "seed is 18446744073709551616"),
        ({"split_seed": -1, "validation_fraction": 0.5}, "seed of the split is -1"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    make_buffer: MakeBuffer, options: dict[str, Any], fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault) as caught:
        load(make_buffer([20, 30]), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_would_spoil_every_weight_are_refused(
    make_buffer: MakeBuffer, value: float
) -> None:
    path = make_buffer([20, 30]).path
    zarr.open_group(str(path), mode="r+")["data/action"][25, 1] = value
    with pytest.raises(DatasetError, match="'action' holds NaN.* at step 25; `kinoise inspect`"):
        load(path)


def test_episodes_shorter_than_the_history_are_padded_or_told(make_buffer: MakeBuffer) -> None:
    sizes = {"n_obs_steps": 4, "horizon": 8, "n_action_steps": 4, "batch_size": 1}
    with pytest.raises(DatasetError, match="the longest of 2 has 2; lower the horizon"):
        load(make_buffer([1, 2], name="short.zarr"), **sizes, pad_after=0)
    padded = load(make_buffer([1, 2], name="padded.zarr"), **sizes, pad_after=7).train
    assert torch.isfinite(padded.batch(0)["action"]).all()


def test_validation_episodes_that_are_too_short_are_named_as_such(make_buffer: MakeBuffer) -> None:
    with pytest.raises(DatasetError, match="set aside for validation, no episode is long enough"):
        load(make_buffer([60, 1]), validation_fraction=0.1, split_seed=2)


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


def test_a_symmetry_is_for_training_alone(make_buffer: MakeBuffer) -> None:
    path = make_buffer([20, 30, 25, 28]).path
    symmetry = {"action": (-np.eye(2), np.zeros(2))}
    plain, mirrored = (
        load(path, validation_fraction=0.5, symmetry=chosen) for chosen in (None, symmetry)
    )
    assert plain.validation is not None
    assert mirrored.validation is not None
    assert not torch.equal(plain.train.batch(0)["action"], mirrored.train.batch(0)["action"])
    for step in range(4):
        assert_equal(plain.validation.batch(step), mirrored.validation.batch(step))


@pytest.mark.parametrize(("share", "mapped"), [(0.0, 2), (1.5, 1), (2.0, 0)])
def test_pictures_share_one_limit_of_memory(
    share: float, mapped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((10, 4, 5, 3), np.uint8)
    episode = {"one": pixels, "two": pixels, "action": np.zeros((10, 2), np.float32)}
    with ReplayBuffer.create(tmp_path / "two.zarr") as buffer:
        buffer.append_episode(episode)
    shapes: list[tuple[int, ...]] = []
    original = memory._mapped_pixels

    def watched(shape: tuple[int, ...], scratch: str | Path | None) -> Any:
        shapes.append(shape)
        return original(shape, scratch)

    monkeypatch.setattr(memory, "_mapped_pixels", watched)
    limit = int(share * pixels.nbytes)
    load(tmp_path / "two.zarr", obs_keys=["one", "two"], batch_size=2, memory_bytes=limit)
    assert shapes == [pixels.shape] * mapped

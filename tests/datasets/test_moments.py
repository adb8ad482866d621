"""Streamed moments against numpy on the whole array, over the chosen episodes alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import kinoise.datasets.moments as moments
import kinoise.datasets.storage.chunks as chunks
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.moments import compute_moments
from kinoise.datasets.storage import ReplayBuffer
from kinoise.datasets.symmetry import SymmetryMap

MakeBuffer = Callable[..., ReplayBuffer]


def in_one_piece(rows: NDArray[np.generic]) -> dict[str, NDArray[np.float64]]:
    rows = rows.astype(np.float64)
    q01, q99 = np.quantile(rows, [0.01, 0.99], axis=0)
    return {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        "q01": q01,
        "q99": q99,
    }


def write(path: Path, rows: NDArray[np.generic]) -> ReplayBuffer:
    with ReplayBuffer.create(path) as buffer:
        buffer.append_episode({"action": rows})
    return ReplayBuffer.open(path)


@pytest.mark.parametrize("shape", [(9001, 3), (5000, 2, 4), (4100,)])
def test_streamed_moments_equal_those_of_the_whole_array(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    rows = 1e4 + np.random.default_rng(0).normal(size=shape)
    found = compute_moments(write(tmp_path / "s.zarr", rows))["action"]
    for name, expected in in_one_piece(rows).items():
        assert found[name].shape == shape[1:]
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_a_constant_dimension_has_exactly_no_spread(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    rows[:, 1] = 0.1
    found = compute_moments(write(tmp_path / "s.zarr", rows))["action"]
    assert found["std"][1] == 0
    assert found["mean"][1] == found["min"][1] == found["max"][1] == np.float32(0.1)
    assert found["std"][0] > 0.9


def test_pictures_are_taken_per_channel(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([50, 70])
    found = compute_moments(buffer, ["image"])["image"]
    for name, expected in in_one_piece(buffer.read("image").reshape(-1, 3)).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_quantiles_of_long_data_come_from_a_sample_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 2))
    monkeypatch.setattr(moments, "QUANTILE_NUMBERS", 9000)
    found = compute_moments(write(tmp_path / "s.zarr", rows))["action"]
    # Of at least 2250 rows: four standard errors of the part that lies below.
    below = (rows < found["q01"]).mean(0)
    np.testing.assert_allclose(below, 0.01, atol=4 * (0.01 * 0.99 / 2250) ** 0.5)
    np.testing.assert_allclose(found["std"], rows.std(0), rtol=1e-12)


@pytest.mark.parametrize("episodes", [[0], [1], [3], [0, 2], [3, 1], [0, 1, 2, 3]])
def test_only_the_chosen_episodes_are_looked_at(
    make_buffer: MakeBuffer, monkeypatch: pytest.MonkeyPatch, episodes: list[int]
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_ROWS", 16)  # episodes begin and end inside chunks
    buffer = make_buffer([50, 7, 70, 21])
    found = compute_moments(buffer, ["action"], episodes=np.array(episodes))["action"]
    rows = np.concatenate([buffer.episode(episode)["action"] for episode in episodes])
    for name, expected in in_one_piece(rows).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_damage_in_other_episodes_does_not_matter(
    make_buffer: MakeBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_ROWS", 16)
    buffer = make_buffer([32, 32])
    (buffer.path / "data" / "action" / "c.3.0").write_bytes(b"spoiled")
    compute_moments(buffer, ["action"], episodes=[0])
    with pytest.raises(DatasetError, match="damaged"):
        compute_moments(buffer, ["action"], episodes=[1])


def test_a_mirror_image_counts_like_the_steps_themselves(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([50, 70])
    flip = {"action": (np.array([[0.0, 2.0], [-1.0, 0.0]]), np.array([10.0, 0.0]))}
    steps = {key: torch.from_numpy(buffer.read(key)) for key in ("action", "state")}
    found = compute_moments(
        buffer, ["action", "state"], episodes=[1], symmetry=SymmetryMap(flip, steps)
    )
    rows = buffer.episode(1)["action"]
    image = rows @ flip["action"][0].T + flip["action"][1]
    for name, expected in in_one_piece(np.concatenate([rows, image])).items():
        np.testing.assert_allclose(found["action"][name], expected, rtol=1e-12, err_msg=name)
    plain = compute_moments(buffer, ["state"], episodes=[1])
    assert all(np.array_equal(found["state"][n], plain["state"][n]) for n in plain["state"])


def test_a_constant_dimension_stays_exactly_so_beside_its_mirror_image(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 2))
    rows[:, 0] = 0.1
    buffer = write(tmp_path / "s.zarr", rows)
    flip = {"action": (np.diag([1.0, -1.0]), np.zeros(2))}
    symmetry = SymmetryMap(flip, {"action": torch.from_numpy(rows)})
    found = compute_moments(buffer, symmetry=symmetry)["action"]
    assert found["std"][0] == 0
    assert found["mean"][0] == found["min"][0] == found["max"][0] == 0.1


def test_an_empty_data_set_is_told_in_one_line(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "empty.zarr").close()
    with pytest.raises(DatasetError, match="no episode yet"):
        compute_moments(ReplayBuffer.open(tmp_path / "empty.zarr"))


@pytest.mark.parametrize(
    ("episodes", "fault"), [([], "none was chosen"), ([2], "has no episode 2")]
)
def test_episodes_that_are_not_there_are_told_in_one_line(
    make_buffer: MakeBuffer, episodes: list[int], fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault):
        compute_moments(make_buffer([5, 6]), episodes=episodes)

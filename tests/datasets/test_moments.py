"""Streamed statistics against numpy on the whole array."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import kinoise.datasets.moments as moments
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.moments import compute_statistics, from_json, to_json
from kinoise.datasets.storage import ReplayBuffer

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
def test_streamed_statistics_equal_those_of_the_whole_array(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    rows = 1e4 + np.random.default_rng(0).normal(size=shape)
    found = compute_statistics(write(tmp_path / "s.zarr", rows))["action"]
    for name, expected in in_one_piece(rows).items():
        assert found[name].shape == shape[1:]
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_a_constant_dimension_has_exactly_no_spread(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    rows[:, 1] = 0.1
    found = compute_statistics(write(tmp_path / "s.zarr", rows))["action"]
    assert found["std"][1] == 0
    assert found["mean"][1] == found["min"][1] == found["max"][1] == np.float32(0.1)
    assert found["std"][0] > 0.9


def test_pictures_are_taken_per_channel(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([50, 70])
    found = compute_statistics(buffer, ["image"])["image"]
    for name, expected in in_one_piece(buffer.read("image").reshape(-1, 3)).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_quantiles_of_long_data_come_from_evenly_spaced_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 2))
    monkeypatch.setattr(moments, "QUANTILE_NUMBERS", 9000)
    found = compute_statistics(write(tmp_path / "s.zarr", rows))["action"]
    np.testing.assert_allclose(found["q01"], in_one_piece(rows[::5])["q01"], rtol=1e-12)
    np.testing.assert_allclose(found["std"], rows.std(0), rtol=1e-12)


def test_n_episodes_looks_at_the_first_only(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([50, 70])
    found = compute_statistics(buffer, ["action"], n_episodes=1)["action"]
    np.testing.assert_allclose(found["max"], buffer.episode(0)["action"].max(0))


def test_statistics_survive_json_to_the_last_bit(make_buffer: MakeBuffer) -> None:
    found = compute_statistics(make_buffer([50]))
    again = from_json(json.loads(json.dumps(to_json(found), allow_nan=False)))
    for key, of_key in found.items():
        for name, values in of_key.items():
            assert again[key][name].tobytes() == values.tobytes()


def test_an_empty_data_set_is_told_in_one_line(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "empty.zarr").close()
    with pytest.raises(DatasetError, match="no episode yet"):
        compute_statistics(ReplayBuffer.open(tmp_path / "empty.zarr"))

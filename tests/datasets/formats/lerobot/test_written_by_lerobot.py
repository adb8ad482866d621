"""What LeRobot itself wrote comes over: numbers and PNG bit for bit, video within the codec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import find_importer, import_data
from kinoise.datasets.storage import ReplayBuffer

NAMES = {
    "action": "action",
    "grid": "observation.grid",
    "reward": "next.reward",
    "state": "observation.state",
    "top": "observation.images.top",
}
WRITTEN = ["v2.1_image", "v2.1_video", "v3.0_image", "v3.0_video"]
SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"


@pytest.mark.parametrize("name", WRITTEN)
def test_what_lerobot_wrote_comes_over_whole(
    tmp_path: Path, unzip: Callable[[str], Path], made: Callable[[str], Any], name: str
) -> None:
    source = unzip(name)
    assert find_importer(source).name == "lerobot"
    report = import_data(source, tmp_path / "ours.zarr")
    buffer = ReplayBuffer.open(tmp_path / "ours.zarr")

    assert (report.n_episodes, report.n_steps) == (3, 14)
    assert buffer.episode_ends.tolist() == [5, 8, 14]
    assert buffer.keys == sorted(NAMES)
    for key, feature in NAMES.items():
        expected = made(name)[feature]
        found = buffer.read(key)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if key == "top" and "video" in name:
            # Every row has its own frame: the neighbours' are much farther away.
            error = np.abs(found.astype(float) - expected).mean(axis=(1, 2, 3))
            assert error.max() < 5
            others = np.abs(found[:4].astype(float) - expected[1:5]).mean(axis=(1, 2, 3))
            assert others.min() > 10
        else:
            assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["v2.1_image", "v3.0_image"])
def test_rate_task_and_names_are_kept(
    tmp_path: Path, unzip: Callable[[str], Path], name: str
) -> None:
    report = import_data(unzip(name), tmp_path / "ours.zarr")
    attributes = ReplayBuffer.open(tmp_path / "ours.zarr").attrs
    kept = attributes["source"]["attributes"]
    assert attributes["control_rate_hz"] == 10
    assert kept["tasks"] == ["push the block", "lift the block"]
    assert kept["episode_tasks"] == [0, 0, 1]
    assert kept["names"] == {"action": ["dx", "dy"], "state": ["x", "y", "z"]}
    assert kept["features"] == NAMES
    assert any("bookkeeping" in note and "task_index" in note for note in report.notes)
    assert any("observation.images.top -> top" in note for note in report.notes)


def test_bookkeeping_comes_over_when_it_is_asked_for(
    tmp_path: Path, unzip: Callable[[str], Path]
) -> None:
    keys = ["observation.state", "task_index", "timestamp"]
    import_data(unzip("v3.0_image"), tmp_path / "ours.zarr", keys=keys)
    buffer = ReplayBuffer.open(tmp_path / "ours.zarr")
    assert buffer.keys == ["action", "state", "task_index", "timestamp"]
    assert buffer.read("task_index").ravel().tolist() == [0] * 8 + [1] * 6
    assert buffer.read("timestamp")[5, 0] == 0


def test_a_block_may_end_inside_an_episode(unzip: Callable[[str], Path]) -> None:
    source = unzip("v3.0_video")
    importer = find_importer(source)
    with importer.open(source, None, allow_missing=False) as data:
        whole = list(data.blocks(100))
        pieces = list(data.blocks(3))
    assert max(len(piece["action"]) for piece in pieces) == 3
    for key in data.shapes:
        joined = np.concatenate([piece[key] for piece in pieces])
        assert np.array_equal(joined, np.concatenate([block[key] for block in whole]))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("videos/observation.images.top/chunk-000/file-000.mp4", r"keys=\[action,grid,reward"),
        ("data/chunk-000/file-000.parquet", "is missing"),
        ("meta/episodes/chunk-000/file-000.parquet", "holds no parquet file"),
    ],
)
def test_a_missing_file_is_told_in_one_line(
    tmp_path: Path, unzip: Callable[[str], Path], path: str, says: str
) -> None:
    source = unzip("v3.0_video")
    (source / path).unlink()
    with pytest.raises(DatasetError, match=says) as caught:
        import_data(source, tmp_path / "ours.zarr")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours.zarr").exists()


def test_missing_videos_are_left_out_when_allowed(
    tmp_path: Path, unzip: Callable[[str], Path]
) -> None:
    source = unzip("v2.1_video")
    for file in source.rglob("*.mp4"):
        file.unlink()
    report = import_data(source, tmp_path / "ours.zarr", allow_missing=True)
    assert report.keys == ("action", "grid", "reward", "state")
    assert any("videos of 'observation.images.top', which are missing" in n for n in report.notes)


def test_both_copies_of_human_push_t_hold_the_same_actions(
    tmp_path: Path, pusht_human: Path
) -> None:
    copy = SHARED / "pusht_human_lerobot"
    if not copy.exists():
        pytest.skip("shared/data/pusht_human_lerobot is absent")
    import_data(copy, tmp_path / "ours.zarr", keys=["state", "reward"])
    buffer = ReplayBuffer.open(tmp_path / "ours.zarr")
    source = zarr.open_group(str(pusht_human), mode="r", zarr_format=2)
    assert np.array_equal(buffer.episode_ends, source["meta/episode_ends"][:])
    assert buffer.read("action").tobytes() == source["data/action"][:].tobytes()
    # The first two of the five numbers are the agent's position.
    assert np.array_equal(buffer.read("state"), source["data/state"][:, :2])

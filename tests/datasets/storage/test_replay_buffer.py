"""What is appended comes back; what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import kinoise.datasets.storage.store as store
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.storage import ReplayBuffer

Episode = dict[str, NDArray[Any]]
MakeBuffer = Callable[..., ReplayBuffer]
MakeEpisode = Callable[..., Episode]


def assert_same(left: Episode, right: Episode) -> None:
    assert set(left) == set(right)
    for key in left:
        assert left[key].dtype == right[key].dtype
        assert left[key].tobytes() == right[key].tobytes(), key


def test_every_episode_comes_back_bit_for_bit_with_its_dtype(
    make_buffer: MakeBuffer, make_episode: MakeEpisode
) -> None:
    buffer = make_buffer([7, 1, 30])
    assert (buffer.n_episodes, buffer.n_steps) == (3, 38)
    assert buffer.keys == ["action", "image", "state"]
    for index, length in enumerate([7, 1, 30]):
        assert_same(buffer.episode(index), make_episode(length, index))


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    data=st.data(),
)
def test_any_numbers_survive_the_disk(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], dtype: Any, data: st.DataObject
) -> None:
    elements = (
        {"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else None
    )
    episodes = [
        {"action": data.draw(hnp.arrays(dtype, (length, 2), elements=elements))} for length in rows
    ]
    path = tmp_path_factory.mktemp("any") / "data.zarr"
    with ReplayBuffer.create(path) as buffer:
        for episode in episodes:
            buffer.append_episode(episode)
    reopened = ReplayBuffer.open(path)
    for index, episode in enumerate(episodes):
        assert_same(reopened.episode(index), episode)


def test_episodes_may_be_longer_than_a_chunk_and_end_inside_one(tmp_path: Path) -> None:
    episodes = [{"action": np.arange(n * 2.0).reshape(n, 2) + n} for n in (5000, 3, 4096, 9001)]
    with ReplayBuffer.create(tmp_path / "long.zarr") as buffer:
        for episode in episodes:
            buffer.append_episode(episode)
    reopened = ReplayBuffer.open(tmp_path / "long.zarr")
    assert reopened["action"].nchunks > 3
    for index, episode in enumerate(episodes):
        assert_same(reopened.episode(index), episode)


def test_a_plain_zarr_reader_sees_the_diffusion_policy_layout(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([4, 6])
    group = zarr.open_group(str(buffer.path), mode="r")
    assert np.asarray(group["meta/episode_ends"]).tolist() == [4, 10]
    assert group["data/action"].shape == (10, 2)
    assert group.attrs["kinoise_schema"] == 1


def test_attributes_come_back_and_versions_are_recorded(tmp_path: Path) -> None:
    given_attributes = {
        "control_rate_hz": 10.0,
        "action": {"meaning": "absolute", "units": "m", "low": np.zeros(2), "high": [1, 1]},
        "env_id": "kinoise/PushT-v0",
        "env_kwargs": {"size": np.float32(0.5)},
        "extra": {"note": "x"},
    }
    ReplayBuffer.create(tmp_path / "a.zarr", given_attributes).close()
    attributes = ReplayBuffer.open(tmp_path / "a.zarr").attrs
    assert attributes["action"] == {
        "meaning": "absolute",
        "frame": None,
        "rotation": None,
        "gripper": None,
        "units": "m",
        "low": [0.0, 0.0],
        "high": [1.0, 1.0],
    }
    assert attributes["env_kwargs"] == {"size": 0.5}
    assert attributes["versions"]["zarr"] == zarr.__version__


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"control_rate": 10}, "did you mean 'control_rate_hz'"),
        ({"control_rate_hz": -1}, "positive"),
        ({"control_rate_hz": "abc"}, "control_rate_hz is 'abc'; give a positive number"),
        ({"control_rate_hz": float("nan")}, "positive"),
        ({"control_rate_hz": True}, "positive"),
        ({"action": "absolute"}, "give a mapping"),
        ({"action": {"low": "ab"}}, "one number per action dimension"),
        ({"action": {"high": 3}}, "one number per action dimension"),
        ({"env_kwargs": [1]}, "give a mapping"),
        ({"action": {"meaning": "delta"}}, "'absolute' or 'relative'"),
        ({"action": {"low": [0, 0], "high": [1]}}, "differ in length"),
        ({"action": {"low": [1.0], "high": [0.0]}}, "not below"),
        ({"extra": {"f": print}}, "JSON"),
    ],
)
def test_wrong_attributes_are_refused(
    tmp_path: Path, attributes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault):
        ReplayBuffer.create(tmp_path / "a.zarr", attributes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"action": np.full((5, 2), np.nan)}, "'action' holds nan at step 0"),
        ({"state": np.full((5, 3), np.inf, np.float32)}, "'state' holds inf"),
        ({"state": np.zeros((5, 4), np.float32)}, "float32 .3,. per step"),
        ({"state": np.zeros((5, 3))}, "float64"),
        ({"state": np.zeros((4, 3), np.float32)}, "same number of steps"),
        ({"other": np.zeros((5, 3))}, "give exactly these"),
        ({"state": np.array([{}] * 5)}, "not objects"),
        ({"action": np.zeros(())}, "at least 1"),
        ({"../../escape": np.zeros(5)}, "rename it"),
    ],
)
def test_an_episode_that_does_not_fit_is_refused_in_one_line_and_nothing_changes(
    make_buffer: MakeBuffer, make_episode: MakeEpisode, change: Episode, fault: str
) -> None:
    path = make_buffer([6]).path
    with ReplayBuffer.open(path, "a") as buffer:
        with pytest.raises(DatasetError, match=fault) as caught:
            buffer.append_episode({**make_episode(5), **change})
        assert "\n" not in str(caught.value)
        buffer.append_episode(make_episode(3, 9))
    reopened = ReplayBuffer.open(path)
    assert reopened.episode_ends.tolist() == [6, 9]
    assert_same(reopened.episode(1), make_episode(3, 9))


def test_an_episode_without_actions_is_refused(tmp_path: Path) -> None:
    with (
        ReplayBuffer.create(tmp_path / "a.zarr") as buffer,
        pytest.raises(DatasetError, match="needs the key 'action'"),
    ):
        buffer.append_episode({"state": np.zeros((5, 3))})


def test_nothing_that_stands_there_is_created_over(make_buffer: MakeBuffer, tmp_path: Path) -> None:
    path = make_buffer([6]).path
    with pytest.raises(DatasetError, match="overwrite=true"):
        ReplayBuffer.create(path)
    assert ReplayBuffer.open(path).n_episodes == 1
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("keep me")
    with pytest.raises(DatasetError, match="not a data set"):
        ReplayBuffer.create(tmp_path / "home")
    assert (tmp_path / "home" / "letter.txt").exists()


def test_a_wrong_path_is_told_in_one_line(make_buffer: MakeBuffer, tmp_path: Path) -> None:
    make_buffer([2], name="pusht.zarr")
    with pytest.raises(DatasetError, match=r"did you mean 'pusht.zarr'"):
        ReplayBuffer.open(tmp_path / "pushd.zarr")
    with pytest.raises(DatasetError, match="not a data set"):
        ReplayBuffer.open(tmp_path)
    with pytest.raises(DatasetError, match="has no key 'stat'; did you mean 'state'"):
        ReplayBuffer.open(tmp_path / "pusht.zarr")["stat"]


def test_two_writers_do_not_meet(make_buffer: MakeBuffer) -> None:
    path = make_buffer([6]).path
    with ReplayBuffer.open(path, "a"), pytest.raises(DatasetError, match="another process"):
        ReplayBuffer.open(path, "a")
    ReplayBuffer.open(path, "a").close()


def test_a_reader_that_appends_is_refused(
    make_buffer: MakeBuffer, make_episode: MakeEpisode
) -> None:
    with pytest.raises(DatasetError, match="mode='a'"):
        make_buffer([6]).append_episode(make_episode(2))


def test_rows_appended_in_pieces_stay_unseen_until_committed(
    make_buffer: MakeBuffer, make_episode: MakeEpisode
) -> None:
    path = make_buffer([6]).path
    whole = make_episode(10, 3)
    with ReplayBuffer.open(path, "a") as buffer:
        buffer.append_steps({key: rows[:4] for key, rows in whole.items()})
        buffer.append_steps({key: rows[4:] for key, rows in whole.items()})
        assert ReplayBuffer.open(path).n_steps == 6
        with pytest.raises(DatasetError, match="call commit first"):
            buffer.append_episode(whole)
        with pytest.raises(DatasetError, match="add up"):
            buffer.commit([3])
        buffer.commit([4, 6])
    reopened = ReplayBuffer.open(path)
    assert reopened.episode_ends.tolist() == [6, 10, 16]
    assert_same(reopened.episode(1), {key: rows[:4] for key, rows in whole.items()})


def test_appending_costs_no_more_in_a_long_data_set(tmp_path: Path) -> None:
    """Counted in bytes written, which no other process disturbs."""
    written = 0
    original = store.write_durably

    def count(path: Path, content: Any) -> None:
        nonlocal written
        written += len(content)
        original(path, content)

    episode = {"action": np.random.default_rng(0).normal(size=(1000, 8))}
    costs = []
    with pytest.MonkeyPatch.context() as patch, ReplayBuffer.create(tmp_path / "x") as buffer:
        patch.setattr(store, "write_durably", count)
        for _ in range(40):
            written = 0
            buffer.append_episode(episode)
            costs.append(written)
    assert max(costs[20:]) <= 1.2 * max(costs[:20])

"""Seeds are stored with their episodes: both or neither, whatever strikes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kinoise.datasets.storage.store as store
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.storage import ReplayBuffer

MakeEpisode = Callable[..., dict[str, NDArray[Any]]]
FIRST_LAYOUT = Path(__file__).resolve().parents[1] / "fixtures" / "schema_1.zarr"


def test_seeds_come_back_with_their_episodes(tmp_path: Path, make_episode: MakeEpisode) -> None:
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        assert buffer.next_seed == 0
        buffer.append_episode(make_episode(3), seed=4)
        buffer.reject_seed(5)
        buffer.append_episode(make_episode(2), seed=9)
    reopened = ReplayBuffer.open(tmp_path / "a.zarr")
    assert reopened.episode_seeds.tolist() == [4, 9]
    assert reopened.tried_seeds == {4, 5, 9}
    assert reopened.next_seed == 10


def test_a_rejected_seed_counts_before_the_first_episode(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        buffer.reject_seed(0)
    with ReplayBuffer.open(tmp_path / "a.zarr", "a") as buffer:
        assert buffer.next_seed == 1
        buffer.append_episode(make_episode(3), seed=1)
    assert ReplayBuffer.open(tmp_path / "a.zarr").tried_seeds == {0, 1}


def test_a_seed_is_never_taken_twice(tmp_path: Path, make_episode: MakeEpisode) -> None:
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        buffer.append_episode(make_episode(3), seed=4)
        buffer.reject_seed(5)
        for seed in (4, 5, -1):
            with pytest.raises(DatasetError, match="seed"):
                buffer.append_episode(make_episode(3), seed=seed)
            with pytest.raises(DatasetError, match="seed"):
                buffer.reject_seed(seed)
        buffer.append_episode(make_episode(1), seed=6)
    assert ReplayBuffer.open(tmp_path / "a.zarr").episode_ends.tolist() == [3, 4]


def test_episodes_without_a_seed_leave_the_next_one_unknown(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        buffer.append_episode(make_episode(3))
        buffer.append_episode(make_episode(3), seed=7)
        buffer.append_episode(make_episode(3))
    reopened = ReplayBuffer.open(tmp_path / "a.zarr")
    assert reopened.episode_seeds.tolist() == [-1, 7, -1]
    assert reopened.next_seed is None


def test_a_reader_cannot_reject_a_seed(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "a.zarr").close()
    with pytest.raises(DatasetError, match="mode='a'"):
        ReplayBuffer.open(tmp_path / "a.zarr").reject_seed(3)


@pytest.mark.parametrize("failing_write", range(14))
def test_no_seed_is_seen_without_its_episode_at_whatever_write_a_full_disk_strikes(
    tmp_path: Path,
    make_episode: MakeEpisode,
    monkeypatch: pytest.MonkeyPatch,
    failing_write: int,
) -> None:
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        buffer.append_episode(make_episode(3), seed=0)
    writes = 0
    original = store.write_durably

    def fill_up(target: Path, content: Any) -> None:
        nonlocal writes
        writes += 1
        if writes > failing_write:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(target, content)

    with ReplayBuffer.open(tmp_path / "a.zarr", "a") as buffer:
        monkeypatch.setattr(store, "write_durably", fill_up)
        try:
            buffer.append_episode(make_episode(4), seed=1)
            buffer.reject_seed(2)
        except DatasetError:
            pass
        monkeypatch.undo()
        beside = ReplayBuffer.open(tmp_path / "a.zarr")
        assert beside.n_episodes == len(beside.episode_seeds)
        assert beside.tried_seeds in ({0}, {0, 1}, {0, 1, 2})
        assert (1 in beside.tried_seeds) == (beside.n_episodes == 2)
        # Whatever was not taken before can be taken now.
        assert buffer.next_seed is not None
        buffer.append_episode(make_episode(5), seed=buffer.next_seed)
    seeds = ReplayBuffer.open(tmp_path / "a.zarr").episode_seeds.tolist()
    assert seeds in ([0, 1], [0, 1, 2], [0, 1, 3])


def test_a_data_set_of_the_first_layout_opens_and_grows(
    tmp_path: Path,
) -> None:
    """The committed files were written before seeds were stored and before this room moved."""
    old = ReplayBuffer.open(FIRST_LAYOUT)
    assert old.attrs["kinoise_schema"] == 1
    assert old.attrs["action"]["units"] == "m"
    assert old.episode_ends.tolist() == [5, 6, 13]
    assert old.episode_seeds.tolist() == [-1, -1, -1]
    assert old.next_seed is None
    for episode, length in enumerate((5, 1, 7)):
        rows = old.episode(episode)
        expected = np.arange(length * 2.0).reshape(length, 2) / 100 + length / 10
        np.testing.assert_array_equal(rows["action"], expected)
        assert rows["state"].dtype == np.float32
        assert (rows["image"] == length).all()

    shutil.copytree(FIRST_LAYOUT, tmp_path / "old.zarr")
    with ReplayBuffer.open(tmp_path / "old.zarr", "a") as buffer:
        buffer.append_episode(buffer.episode(1), seed=3)
    grown = ReplayBuffer.open(tmp_path / "old.zarr")
    assert grown.episode_seeds.tolist() == [-1, -1, -1, 3]
    assert grown.n_steps == 14

"""A data set is replaced by a whole one or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kinoise.datasets.storage.directory as directory
import kinoise.datasets.storage.store as store
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.storage import ReplayBuffer, replacing

MakeBuffer = Callable[..., ReplayBuffer]
MakeEpisode = Callable[..., dict[str, NDArray[Any]]]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("exchange", [True, False])
def test_the_new_data_set_takes_the_name_when_it_is_whole(
    make_buffer: MakeBuffer,
    make_episode: MakeEpisode,
    monkeypatch: pytest.MonkeyPatch,
    exchange: bool,
) -> None:
    if not exchange:  # as on systems that cannot exchange two names
        monkeypatch.setattr(directory, "_exchange", lambda one, other: False)
    path = make_buffer([6, 3]).path
    with replacing(path, overwrite=True) as buffer:
        buffer.append_episode(make_episode(4), seed=0)
        assert ReplayBuffer.open(path).episode_ends.tolist() == [6, 9]
    assert ReplayBuffer.open(path).episode_ends.tolist() == [4]
    assert hidden(path.parent) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("bug")])
def test_an_error_or_ctrl_c_leaves_the_old_data_set(
    make_buffer: MakeBuffer, make_episode: MakeEpisode, error: BaseException
) -> None:
    path = make_buffer([6, 3]).path

    def interrupted() -> None:
        with replacing(path, overwrite=True) as buffer:
            buffer.append_episode(make_episode(4))
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert ReplayBuffer.open(path).episode_ends.tolist() == [6, 9]
    assert hidden(path.parent) == []


def test_a_data_set_is_not_replaced_by_an_empty_one(make_buffer: MakeBuffer) -> None:
    path = make_buffer([6, 3]).path
    with (
        pytest.raises(DatasetError, match="nothing was replaced"),
        replacing(path, overwrite=True),
    ):
        pass
    assert ReplayBuffer.open(path).n_episodes == 2


def test_wrong_attributes_leave_the_old_data_set(make_buffer: MakeBuffer) -> None:
    path = make_buffer([6, 3]).path
    with (
        pytest.raises(DatasetError, match="positive"),
        replacing(path, {"control_rate_hz": -1}, overwrite=True),
    ):
        pass
    assert ReplayBuffer.open(path).n_episodes == 2
    assert hidden(path.parent) == []


def test_a_full_disk_leaves_the_old_data_set_and_says_so(
    make_buffer: MakeBuffer, make_episode: MakeEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def struck() -> None:
        with replacing(path, overwrite=True) as buffer:
            monkeypatch.setattr(store, "write_durably", full)
            buffer.append_episode(make_episode(4))

    path = make_buffer([6, 3]).path
    with pytest.raises(DatasetError, match=r"data\.zarr: the disk is full.*nothing was written"):
        struck()
    monkeypatch.undo()
    assert ReplayBuffer.open(path).n_episodes == 2
    assert hidden(path.parent) == []


def test_only_a_data_set_nobody_writes_is_replaced_and_only_when_asked(
    make_buffer: MakeBuffer, tmp_path: Path
) -> None:
    path = make_buffer([6]).path
    with pytest.raises(DatasetError, match="overwrite=true"), replacing(path):
        pass
    with (
        ReplayBuffer.open(path, "a"),
        pytest.raises(DatasetError, match="another process"),
        replacing(path, overwrite=True),
    ):
        pass
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("keep me")
    with (
        pytest.raises(DatasetError, match="not a data set"),
        replacing(tmp_path / "home", overwrite=True),
    ):
        pass
    assert (tmp_path / "home" / "letter.txt").exists()


KILLED = """
import os, signal, sys
import numpy as np
from kinoise.datasets.storage import replacing
with replacing(sys.argv[1], overwrite=True) as buffer:
    buffer.append_episode({"action": np.zeros((5, 2))})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_leaves_the_old_data_set_and_the_next_replacement_tidies_up(
    make_buffer: MakeBuffer, tmp_path: Path
) -> None:
    path = make_buffer([6, 3]).path
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert process.returncode == -9
    assert ReplayBuffer.open(path).episode_ends.tolist() == [6, 9]
    assert hidden(tmp_path) == [".data.zarr.writing"]
    with replacing(path, overwrite=True) as buffer:
        buffer.append_episode({"action": np.ones((2, 1))})
    assert ReplayBuffer.open(path).n_steps == 2
    assert hidden(tmp_path) == []

"""Damage, full disks and kills: what is whole stays readable, and each fault is one line."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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


def test_a_damaged_chunk_is_named_with_its_mend_and_earlier_episodes_stay_readable(
    tmp_path: Path,
) -> None:
    with ReplayBuffer.create(tmp_path / "d.zarr") as buffer:
        for seed in range(4):
            buffer.append_episode({"action": np.random.default_rng(seed).normal(size=(3000, 2))})
    chunk = tmp_path / "d.zarr" / "data" / "action" / "c.1.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    buffer = ReplayBuffer.open(tmp_path / "d.zarr")
    with pytest.raises(DatasetError, match=r"key 'action': chunk file .*c\.1\.0 is damaged.*=1\)"):
        buffer.episode(1)
    assert len(buffer.episode(0)["action"]) == 3000
    chunk.unlink()
    with pytest.raises(DatasetError, match=r"c\.1\.0 is missing"):
        buffer.read("action")


def test_a_damaged_description_is_one_line(make_buffer: MakeBuffer) -> None:
    path = make_buffer([6]).path
    (path / "data" / "action" / "zarr.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        ReplayBuffer.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**12, 2]}}}, "MiB"),
        ({"data_type": "complex128", "fill_value": [0.0, 0.0]}, "not numbers"),
        ({"shape": [3, 2]}, "holds 3 of 6 steps"),
        ({"shape": [-1, 2]}, "cannot be read"),
        ({"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}, "cannot be read"),
        ({"codecs": [{"name": "os.system"}]}, "cannot be read"),
    ],
)
def test_a_description_that_lies_is_one_line(
    make_buffer: MakeBuffer, changes: dict[str, Any], fault: str
) -> None:
    path = make_buffer([6]).path
    file = path / "data" / "action" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(DatasetError, match=fault) as caught:
        ReplayBuffer.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("failing_write", range(9))
def test_a_full_disk_keeps_every_whole_episode_at_whatever_write_it_strikes(
    make_buffer: MakeBuffer,
    make_episode: MakeEpisode,
    monkeypatch: pytest.MonkeyPatch,
    failing_write: int,
) -> None:
    path = make_buffer([6, 3]).path
    writes = 0
    original = store.write_durably

    def fill_up(target: Path, content: Any) -> None:
        nonlocal writes
        writes += 1
        if writes > failing_write:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(target, content)

    with ReplayBuffer.open(path, "a") as buffer:
        monkeypatch.setattr(store, "write_durably", fill_up)
        if failing_write == 8:  # an append of three keys takes eight writes
            buffer.append_episode(make_episode(4, 5))
        else:
            with pytest.raises(DatasetError, match=r"disk is full.*2 whole episodes .9 steps. are"):
                buffer.append_episode(make_episode(4, 5))
        whole = [6, 9, 13] if failing_write == 8 else [6, 9]
        assert ReplayBuffer.open(path).episode_ends.tolist() == whole
        monkeypatch.undo()
        buffer.append_episode(make_episode(5, 7))
    reopened = ReplayBuffer.open(path)
    assert reopened.episode_ends.tolist() == [*whole, whole[-1] + 5]
    assert_same(reopened.episode(0), make_episode(6, 0))
    assert_same(reopened.episode(len(whole)), make_episode(5, 7))


@pytest.mark.parametrize("failing_write", range(11))
def test_a_disk_that_is_full_in_the_first_episode_leaves_an_empty_usable_data_set(
    tmp_path: Path,
    make_episode: MakeEpisode,
    monkeypatch: pytest.MonkeyPatch,
    failing_write: int,
) -> None:
    writes = 0
    original = store.write_durably

    def fill_up(target: Path, content: Any) -> None:
        nonlocal writes
        writes += 1
        if writes > failing_write:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(target, content)

    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        monkeypatch.setattr(store, "write_durably", fill_up)
        with pytest.raises(DatasetError, match=r"disk is full.*0 whole episodes .0 steps. are"):
            buffer.append_episode(make_episode(4))
        assert ReplayBuffer.open(tmp_path / "a.zarr").n_episodes == 0
        monkeypatch.undo()
        buffer.append_episode({"action": np.ones((3, 1))})
    assert_same(ReplayBuffer.open(tmp_path / "a.zarr").episode(0), {"action": np.ones((3, 1))})


@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_nothing_is_appended_to_a_damaged_last_chunk(
    make_buffer: MakeBuffer, make_episode: MakeEpisode, fault: str
) -> None:
    path = make_buffer([6]).path
    chunk = path / "data" / "state" / "c.0.0"
    chunk.write_bytes(b"spoiled") if fault == "damaged" else chunk.unlink()
    with (
        ReplayBuffer.open(path, "a") as buffer,
        pytest.raises(DatasetError, match=rf"key 'state': chunk file .*c\.0\.0 is {fault}"),
    ):
        buffer.append_episode(make_episode(4))
    assert ReplayBuffer.open(path).n_episodes == 1


WRITER = """
import sys
import numpy as np
from kinoise.datasets.storage import ReplayBuffer
with ReplayBuffer.open(sys.argv[1], "a") as buffer:
    print("ready", flush=True)
    for number in range(buffer.n_episodes, 100_000):
        rows = np.random.default_rng(number).normal(size=(1500 + 7 * (number % 50), 8))
        buffer.append_episode({"action": rows, "state": rows[:, :3].astype(np.float32)})
"""


def test_kill_9_in_mid_append_leaves_whole_episodes_only(tmp_path: Path) -> None:
    path = tmp_path / "killed.zarr"
    ReplayBuffer.create(path).close()
    generator = np.random.default_rng(time.time_ns())
    held = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(0.01, 0.6))
        beside = ReplayBuffer.open(path)  # a reader beside the writer sees whole episodes too
        assert beside.read("action").shape[0] == beside.n_steps if beside.n_episodes else True
        process.kill()
        process.wait()
        buffer = ReplayBuffer.open(path)
        assert buffer.n_episodes >= held
        held = buffer.n_episodes
        for number in range(held):
            rows = np.random.default_rng(number).normal(size=(1500 + 7 * (number % 50), 8))
            assert_same(
                buffer.episode(number), {"action": rows, "state": rows[:, :3].astype(np.float32)}
            )
    assert held > 0
    with ReplayBuffer.open(path, "a") as buffer:
        assert all(buffer[key].shape[0] == buffer.n_steps for key in buffer.keys)
    assert not list(path.rglob("*.partial"))

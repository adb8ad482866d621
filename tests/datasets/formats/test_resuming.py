"""An import that was killed goes on with the whole episodes that it had copied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import foreign
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import copying, import_data
from kinoise.datasets.storage import ReplayBuffer

EPISODES = foreign.make_episodes([6, 7, 9] * 6)

KILLED = """
import os, signal, sys
from kinoise.datasets.formats import copying
copying.BLOCK_BYTES = 200
def stop(done, whole):
    if done > whole / 2:
        os.kill(os.getpid(), signal.SIGKILL)
copying.import_data(sys.argv[1], sys.argv[2], progress=stop)
"""


def kill_half_way(source: Path, destination: Path) -> Path:
    """Import until half is copied, then die; return where it is left."""
    command = [sys.executable, "-c", KILLED, str(source), str(destination)]
    assert subprocess.run(command, check=False).returncode == -9
    assert not destination.exists()
    return destination.with_name(f".{destination.name}.writing")


def test_a_killed_import_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign.write_npz(tmp_path, EPISODES)
    left = kill_half_way(source, tmp_path / "ours")
    n_left = ReplayBuffer.open(left).n_episodes
    assert 0 < n_left < len(EPISODES)

    monkeypatch.setattr(copying, "BLOCK_BYTES", 200)
    seen: list[int] = []
    report = import_data(
        source, tmp_path / "ours", resume=True, progress=lambda done, whole: seen.append(done)
    )
    rows_left = int(foreign.ends_of(EPISODES)[n_left - 1])
    assert seen[0] > rows_left * 5 * 4
    assert report.n_episodes == len(EPISODES)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    for key in ("obs", "action"):
        assert np.array_equal(buffer.read(key), foreign.joined(EPISODES, key))
    assert buffer.episode_ends.tolist() == foreign.ends_of(EPISODES).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demos.npz", "ours"]


def test_another_source_or_setting_does_not_go_on_with_what_is_left(tmp_path: Path) -> None:
    source = foreign.write_npz(tmp_path, EPISODES)
    left = kill_half_way(source, tmp_path / "ours")
    with pytest.raises(DatasetError, match="without resume=true"):
        import_data(source, tmp_path / "ours", resume=True, control_rate_hz=3.0)
    foreign.write_npz(tmp_path, foreign.make_episodes([8] * 20))
    with pytest.raises(DatasetError, match="without resume=true"):
        import_data(source, tmp_path / "ours", resume=True)
    assert left.exists()
    assert import_data(source, tmp_path / "ours").n_episodes == 20
    assert not left.exists()


def test_going_on_with_nothing_is_a_plain_import(tmp_path: Path) -> None:
    source = foreign.write_npz(tmp_path, EPISODES)
    assert import_data(source, tmp_path / "ours", resume=True).n_episodes == len(EPISODES)


def test_an_interrupted_import_leaves_what_it_had_only_when_it_may_go_on(tmp_path: Path) -> None:
    def interrupt(done: int, whole: int) -> None:
        raise KeyboardInterrupt

    source = foreign.write_npz(tmp_path, EPISODES)
    with pytest.raises(KeyboardInterrupt):
        import_data(source, tmp_path / "ours", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["demos.npz"]
    with pytest.raises(KeyboardInterrupt):
        import_data(source, tmp_path / "ours", resume=True, progress=interrupt)
    assert (tmp_path / ".ours.writing").exists()
    assert import_data(source, tmp_path / "ours", resume=True).n_episodes == len(EPISODES)

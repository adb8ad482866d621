"""A user's mistake gives one clear line, exit status 2, and loses nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from kinoise.datasets.storage import ReplayBuffer
from kinoise.scripts.command.cli import main


def _complaint(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Run the command, hold it to status 2 and one line, and return the line."""
    capsys.readouterr()
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("kinoise: error: ")
    return lines[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small data set with the keys and shapes of PickPlace."""
    path = tmp_path / "pick_place.zarr"
    shapes = {"ee_pos": 3, "ee_rot": 2, "gripper": 1, "cube_pos": 3, "cube_rot": 2, "goal_pos": 2}
    rng = np.random.default_rng(0)
    with ReplayBuffer.create(path) as buffer:
        for _ in range(2):
            episode = {k: rng.normal(size=(40, n)).astype(np.float32) for k, n in shapes.items()}
            action = rng.normal(size=(40, 5)).astype(np.float32)
            buffer.append_episode({**episode, "action": action})
    return path


@pytest.mark.parametrize("verb", ["eval", "control"])
def test_a_wrong_checkpoint_path(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pusht_run").mkdir()
    line = _complaint(capsys, [verb, str(tmp_path / "pusht_rum")])
    assert "no checkpoint at" in line
    assert "did you mean" in line
    assert "pusht_run'" in line


def test_an_unknown_task_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'pick_place'" in _complaint(capsys, ["collect", "task=pickplace"])


def test_an_unknown_override_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    line = _complaint(capsys, ["train", "trainer.n_step=5"])
    assert "did you mean 'trainer.n_steps'" in line


def test_an_unknown_verb_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'train'" in _complaint(capsys, ["trian"])


def test_training_without_data_says_how_to_make_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _complaint(capsys, ["train", f"data.path={tmp_path / 'none.zarr'}"])
    assert "no data set at" in line
    assert "kinoise collect" in line


def test_a_corrupt_chunk_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunk = next(
        p for p in (data / "data" / "cube_pos").rglob("*") if p.name != "zarr.json" and p.is_file()
    )
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0xFF
    chunk.write_bytes(bytes(content))
    line = _complaint(capsys, ["train", f"data.path={data}", f"run={tmp_path / 'r'}"])
    assert "cube_pos" in line
    assert str(chunk.relative_to(data / "data" / "cube_pos")) in line


def test_a_data_set_of_another_task_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _complaint(capsys, ["train", "task=push_t", f"data.path={data}"])
    assert "agent_pos" in line


def test_nan_actions_are_refused_where_they_arise(data: Path) -> None:
    from kinoise.datasets.errors import DatasetError

    with ReplayBuffer.open(data, "a") as buffer:
        episode = buffer.episode(0)
        action = episode["action"].copy()
        action[3, 1] = np.nan
        with pytest.raises(DatasetError, match="action"):
            buffer.append_episode({**episode, "action": action})
    assert ReplayBuffer.open(data).n_episodes == 2


def test_nan_actions_of_a_foreign_data_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    action = np.zeros((20, 2), np.float32)
    action[7, 1] = np.nan
    root = zarr.open_group(str(tmp_path / "foreign.zarr"), mode="w", zarr_format=2)
    root.create_group("data").create_array("action", data=action)
    root.create_group("meta").create_array("episode_ends", data=np.array([20]))
    out = tmp_path / "out.zarr"
    line = _complaint(capsys, ["import", str(tmp_path / "foreign.zarr"), str(out)])
    assert "action" in line
    assert "holds nan at step 7" in line
    assert not out.exists()


def test_a_source_that_is_no_data_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    _complaint(capsys, ["import", str(tmp_path / "empty"), str(tmp_path / "out.zarr")])
    assert not (tmp_path / "out.zarr").exists()


def test_an_existing_run_is_not_overwritten_unasked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", f"data.path={data}", f"run={tmp_path / 'r'}", "trainer.n_steps=2"]
    words += [
        "evaluation.n_episodes=0",
        "n_threads=1",
        "data.batch_size=8",
        "policy.network.width=32",
    ]
    assert main(words) == 0
    assert "resume=true" in _complaint(capsys, words)


def test_a_full_disk_is_said_in_one_line_and_keeps_what_was_there(
    data: Path, tmp_path: Path
) -> None:
    """A real limit on the size of files stands in for a full disk."""
    out = tmp_path / "r"
    program = (
        "import resource, signal, sys; from kinoise.scripts.command.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["train", f"data.path={data}", f"run={out}", "trainer.n_steps=2", "data.batch_size=8"]
    command = [sys.executable, "-c", program, *words, "evaluation.n_episodes=0", "n_threads=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "kinoise: error:" in done.stderr
    assert not list(out.glob("checkpoints/*")), "nothing half-written is left"
    assert ReplayBuffer.open(data).n_episodes == 2

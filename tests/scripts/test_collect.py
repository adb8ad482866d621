"""Collecting: a kill loses nothing, repeats nothing and replaces nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kinoise.datasets.storage import ReplayBuffer
from kinoise.scripts.command.cli import main

#: Pushes so strong that the expert fails with some of the seeds (1 and 2 among the first ones).
HARD = ["n_workers=0", "n_envs=2", "push_strength=7"]

#: The command, in a process that kills itself at a chosen write to disk.
KILLED = """
import os, signal, sys
import kinoise.datasets.storage.store as store
from kinoise.scripts.command.cli import main
left = int(sys.argv[1])
original = store.write_durably
def write(path, content):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    original(path, content)
store.write_durably = write
main(sys.argv[2:])
"""


def kill_at_write(number: int, words: list[str]) -> None:
    command = [sys.executable, "-c", KILLED, str(number), *words]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.returncode == -9, process.stderr.decode()


def assert_same(left: Path, right: Path) -> None:
    a, b = ReplayBuffer.open(left), ReplayBuffer.open(right)
    assert a.episode_ends.tolist() == b.episode_ends.tolist()
    assert a.episode_seeds.tolist() == b.episode_seeds.tolist()
    assert a.tried_seeds == b.tried_seeds
    assert a.attrs == b.attrs
    assert a.keys == b.keys
    for key in a.keys:
        assert a.read(key).tobytes() == b.read(key).tobytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that nobody disturbed; two of its four seeds failed."""
    out = tmp_path_factory.mktemp("whole") / "data.zarr"
    assert main(["collect", f"out={out}", "n_episodes=4", *HARD]) == 0
    buffer = ReplayBuffer.open(out)
    assert buffer.episode_seeds.tolist() == [0, 3]
    assert buffer.tried_seeds == {0, 1, 2, 3}
    return out


@pytest.mark.parametrize(
    "writes",
    [
        [40],
        pytest.param([3, 20, 23, 26], marks=pytest.mark.slow),
        pytest.param([35, 24, 5], marks=pytest.mark.slow),
    ],
)
def test_a_collection_killed_and_resumed_equals_one_that_was_not(
    whole: Path, tmp_path: Path, writes: list[int]
) -> None:
    out = tmp_path / "data.zarr"
    words = ["collect", f"out={out}", "n_episodes=4", "resume=true", *HARD]
    for number in writes:
        kill_at_write(number, words)
    assert main(words) == 0
    assert_same(out, whole)


def test_appending_after_a_kill_takes_fresh_seeds(tmp_path: Path) -> None:
    out = tmp_path / "data.zarr"
    assert main(["collect", f"out={out}", "n_episodes=3", *HARD]) == 0
    assert (
        ReplayBuffer.open(out).n_episodes == 1
    )  # seeds 1 and 2 failed, so a count would repeat one
    assert main(["collect", f"out={out}", "n_episodes=2", "append=true", *HARD]) == 0
    seeds = ReplayBuffer.open(out).episode_seeds.tolist()
    assert len(set(seeds)) == len(seeds)
    assert ReplayBuffer.open(out).tried_seeds == {0, 1, 2, 3, 4}


def test_episodes_stand_in_the_order_of_their_seeds_however_they_end(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "data.zarr"
    words = ["collect", f"out={out}", "n_episodes=4", *HARD]
    assert main([*words, "n_envs=4"]) == 0
    assert_same(out, whole)


def test_a_killed_replacement_leaves_the_old_data_set(tmp_path: Path) -> None:
    out = tmp_path / "data.zarr"
    easy = ["n_workers=0", "n_envs=1"]
    assert main(["collect", f"out={out}", "n_episodes=1", *easy]) == 0
    before = ReplayBuffer.open(out).read("action").tobytes()
    kill_at_write(20, ["collect", f"out={out}", "n_episodes=3", "overwrite=true", *easy])
    assert ReplayBuffer.open(out).read("action").tobytes() == before
    assert main(["collect", f"out={out}", "n_episodes=2", "overwrite=true", *easy]) == 0
    assert ReplayBuffer.open(out).n_episodes == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zarr"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["n_episodes=-1"], "n_episodes is -1; give a whole number of at least 1"),
        (["n_episodes=0"], "n_episodes is 0"),
        (["n_episodes=abc"], "n_episodes is 'abc'"),
        (["n_episodes=1.5"], "n_episodes is 1.5"),
        (["first_seed=-3"], "first_seed is -3"),
        (["only_success=maybe"], "only_success is 'maybe'; give true or false"),
        (["append=true", "overwrite=true"], "append and overwrite contradict"),
        (["append=true", "resume=true"], "append and resume contradict"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], fault: str
) -> None:
    assert main(["collect", f"out={tmp_path / 'data.zarr'}", *words]) == 2
    assert fault in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_of_another_task_or_without_seeds_is_not_appended_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data.zarr"
    assert main(["collect", f"out={out}", "n_episodes=1", "n_workers=0"]) == 0
    assert main(["collect", "task=push_t", f"out={out}", "append=true"]) == 2
    assert "was recorded with env_id 'kinoise/PickPlace-v0'" in capsys.readouterr().err

    with ReplayBuffer.open(out, "a") as buffer:
        buffer.append_episode(buffer.episode(0))
    assert main(["collect", f"out={out}", "append=true"]) == 2
    assert "first_seed=50000" in capsys.readouterr().err
    words = ["append=true", "first_seed=50000", "n_episodes=1", "n_workers=0"]
    assert main(["collect", f"out={out}", *words]) == 0
    assert ReplayBuffer.open(out).episode_seeds.tolist() == [0, -1, 50000]

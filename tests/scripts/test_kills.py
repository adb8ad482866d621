"""Interrupts and kills through the command line: what was finished is kept, and can go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinoise.datasets.storage import ReplayBuffer
from kinoise.policy.checkpoints import read_meta
from kinoise.scripts.command.cli import main

#: The command in a process of its own.
COMMAND = (sys.executable, "-m", "kinoise.scripts.command.cli")
#: A network and a schedule that train in a second.
SMALL = [
    "policy.network.width=32",
    "policy.network.depth=2",
    "trainer.warmup_steps=2",
    "data.batch_size=16",
    "n_threads=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kills") / "pick_place.zarr"
    assert main(["collect", f"out={out}", "n_episodes=2", "n_workers=0"]) == 0
    return out


def test_an_interrupted_training_resumes_from_where_it_stopped(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", f"data.path={data}", f"run={out}", *SMALL, "evaluation.n_episodes=0"]
    command = [
        sys.executable,
        "-m",
        "kinoise.scripts.command.cli",
        *words,
        "trainer.n_steps=1000000",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    _wait_for(out / "metrics.jsonl")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    stopped = read_meta(out)["step"]
    assert "continue with resume=true" in said
    assert main([*words, "resume=true", f"trainer.n_steps={stopped + 5}"]) == 0
    assert read_meta(out)["step"] == stopped + 5


def test_a_killed_training_leaves_a_readable_checkpoint(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", f"data.path={data}", f"run={out}", *SMALL, "evaluation.n_episodes=0"]
    every = ["trainer.checkpoint_minutes=0.002", "trainer.n_steps=1000000"]
    process = subprocess.Popen([*COMMAND, *words, *every])
    _wait_for(out / "checkpoints" / "last")
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    step = read_meta(out)["step"]
    assert main([*words, "resume=true", f"trainer.n_steps={step + 5}"]) == 0


def test_a_killed_collection_leaves_whole_episodes(tmp_path: Path) -> None:
    out = tmp_path / "data.zarr"
    words = ["collect", f"out={out}", "n_episodes=1000", "n_workers=0", "n_envs=2"]
    process = subprocess.Popen([*COMMAND, *words])
    _wait_for(out / "data" / "action")
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    buffer = ReplayBuffer.open(out)
    assert buffer.n_episodes >= 1
    assert len(buffer.read("action")) == buffer.episode_ends[-1]
    assert main(["collect", f"out={out}", "append=true", "n_episodes=1", "n_workers=0"]) == 0
    assert ReplayBuffer.open(out).n_episodes == buffer.n_episodes + 1


def _wait_for(path: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not (path.exists() and (path.is_dir() or path.stat().st_size)):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)

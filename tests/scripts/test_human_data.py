"""Real human demonstrations through the command line: nothing is lost, and the actions replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from kinoise.datasets.storage import ReplayBuffer
from kinoise.envs.suites.gym_pusht import GymPushT, replay
from kinoise.envs.tasks.push_t import geometry
from kinoise.scripts.command.cli import main

SOURCE = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "pusht_human.zarr"
pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="needs the human Push-T data")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ReplayBuffer:
    out = tmp_path_factory.mktemp("human") / "pusht_human.zarr"
    words = ["origin=pusht_human", "keys=[state,keypoint,action]"]
    assert main(["import", str(SOURCE), str(out), *words]) == 0
    return ReplayBuffer.open(out)


def test_every_episode_and_bit_of_the_human_data_arrives(imported: ReplayBuffer) -> None:
    source = zarr.open(str(SOURCE), mode="r")
    assert (imported.n_episodes, imported.n_steps) == (206, 25_650)
    assert np.array_equal(imported.episode_ends, source["meta/episode_ends"][:])
    for key in ("state", "keypoint", "action"):
        ours, theirs = imported.read(key), source[f"data/{key}"][:]
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def test_the_agents_position_is_the_first_part_of_the_state(imported: ReplayBuffer) -> None:
    assert np.array_equal(imported.read("agent_pos"), imported.read("state")[:, :2])
    assert imported.attrs["action"]["high"] == [512.0, 512.0]


def test_replaying_imported_actions_reproduces_the_recorded_coverage(
    imported: ReplayBuffer,
) -> None:
    env = GymPushT()
    for index in range(0, 206, 10):
        episode = imported.episode(index)
        again = replay(env, episode["state"][0], episode["action"])
        recorded = geometry.coverage(episode["state"][:, 2:].astype(float))
        assert np.abs(again.coverage[: len(recorded)] - recorded).max() < 2e-3

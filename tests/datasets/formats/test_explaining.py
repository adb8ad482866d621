"""`explain` says what a source holds and the command to write; a report says what was done."""

from __future__ import annotations

from pathlib import Path

import foreign
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import explain, import_data, import_episodes
from kinoise.datasets.storage import ReplayBuffer

pytest.importorskip("h5py")


@pytest.mark.parametrize("name", foreign.WRITERS)
def test_explaining_names_format_arrays_and_command_and_writes_nothing(
    tmp_path: Path, name: str
) -> None:
    source = foreign.WRITERS[name](tmp_path, foreign.make_episodes())
    before = sorted(tmp_path.rglob("*"))
    text = "\n".join(explain(source, "data/x.zarr"))
    assert f"format {name}" in text
    assert "key 'action'" in text
    assert "3 episodes of 6 to 9 steps (median 7), 22 steps" in text
    assert "range of action over all steps" in text
    assert text.splitlines()[-1] == f"command: kinoise import {source} data/x.zarr"
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_unknown_is_listed_with_its_setting_until_it_is_given(tmp_path: Path) -> None:
    source = foreign.write_npz(tmp_path, foreign.make_episodes())
    text = "\n".join(explain(source))
    assert "unknown: action frame; state it with action_frame=joint|base|world|tool|image" in text
    told = "\n".join(explain(source, action_frame="tool", control_rate_hz=5.0))
    assert "action frame" not in told
    assert told.endswith("OUT action_frame=tool control_rate_hz=5.0")


def test_an_unclear_source_is_shown_with_the_keys_to_write(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", seen=np.zeros((9, 2)), action=np.zeros((9, 1)))
    lines = explain(tmp_path / "a.npz")
    assert any(line.startswith("  seen") for line in lines)
    assert any(line.startswith("unclear: nothing marks") for line in lines)
    assert "'keys={action: action, episode_ends: NAME, obs: NAME}'" in lines[-1]


def test_the_meaning_of_an_action_is_asked_for_and_checked(tmp_path: Path) -> None:
    source = foreign.write_npz(tmp_path, foreign.make_episodes())
    report = import_data(
        source,
        tmp_path / "ours",
        action_meaning="relative",
        action_frame="base",
        action_rotation="none",
        action_gripper="positive_opens",
    )
    action = ReplayBuffer.open(tmp_path / "ours").attrs["action"]
    assert (action["frame"], action["rotation"], action["gripper"]) == (
        "base",
        "none",
        "positive_opens",
    )
    unknown = next(note for note in report.notes if note.startswith("unknown"))
    assert "action frame" not in unknown
    assert "control_rate_hz=HZ" in unknown
    with pytest.raises(DatasetError, match="action gripper 'up' is unknown; give 'none' or"):
        import_data(source, tmp_path / "other", action_gripper="up")


def test_episodes_of_a_generator_become_a_data_set(tmp_path: Path) -> None:
    episodes = foreign.make_episodes((6, 3, 9))
    content = ({"obs": e["obs"], "action": e["action"], "seed": 5} for e in episodes)
    report = import_episodes(content, tmp_path / "ours", min_steps=5)
    assert (report.n_episodes, report.n_steps) == (2, 15)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert np.array_equal(buffer.read("obs"), foreign.joined(episodes[::2], "obs"))
    assert buffer.episode_seeds.tolist() == [5, 5]


@pytest.mark.parametrize(
    ("episode", "fault"),
    [
        ({"obs": np.zeros((4, 2))}, "needs the key 'action'"),
        ({"obs": np.zeros((6, 2)), "action": np.zeros((4, 1))}, "does not fit its 4 actions"),
        ({"action": np.zeros((4, 1)), "seed": -1}, "the seed"),
        ({"action": np.full((4, 1), np.nan)}, "holds nan"),
        (3, "where an episode is a dict of arrays"),
    ],
)
def test_an_episode_that_is_none_leaves_nothing(
    tmp_path: Path, episode: object, fault: str
) -> None:
    good = {"action": np.zeros((4, 1))}
    with pytest.raises(DatasetError, match=fault):
        import_episodes([good, episode], tmp_path / "ours")  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []

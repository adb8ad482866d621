"""NPZ files: which array is which, where episodes end, and what is refused."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data
from kinoise.datasets.storage import ReplayBuffer

OBS = np.arange(60, dtype=np.float32).reshape(20, 3)
ACTION = np.arange(40, dtype=np.float64).reshape(20, 2)
ENDS = [8, 20]


def flags(*places: int) -> np.ndarray[Any, Any]:
    found = np.zeros(20, dtype=bool)
    found[list(places)] = True
    return found


@pytest.mark.parametrize(
    "marks",
    [
        {"episode_ends": np.array([8, 20])},
        {"episode_lengths": np.array([8, 12])},
        {"episode_starts": np.array([0, 8])},
        {"episode_starts": flags(0, 8)},
        {"episode_index": np.repeat([4, 7], [8, 12])},
        {"episode_id": np.repeat([7, 4], [8, 12]), "traj_ends": np.array([8, 20])},
        {"done": flags(7, 19)},
        {"done": flags(7)},
        {"terminals": flags(7), "timeouts": flags(19).astype(np.float32)},
    ],
    ids=lambda marks: "-".join(marks),
)
def test_episodes_end_where_any_of_the_usual_marks_say(
    tmp_path: Path, marks: dict[str, Any]
) -> None:
    np.savez(tmp_path / "a.npz", obs=OBS, action=ACTION, **marks)
    report = import_data(tmp_path / "a.npz", tmp_path / "ours")
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.episode_ends.tolist() == ENDS
    assert buffer.keys == ["action", "obs"]
    assert any(f"as {next(iter(marks))}" in note or "mark them" in note for note in report.notes)


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"obs": OBS, "act": ACTION}, "nothing marks where the episodes of its 20 steps end"),
        ({"obs": OBS, "motor": ACTION, "episode_ends": ENDS}, "no array is called action"),
        ({"obs": OBS, "acts": ACTION, "actions": ACTION, "episode_ends": ENDS}, "2 arrays may be"),
        ({"action": ACTION, "episode_ends": ENDS}, "no array looks like an observation"),
        ({"obs": OBS, "action": ACTION, "episode_ends": [8, 8]}, "must grow"),
        ({"obs": OBS, "action": ACTION, "episode_ends": [8, 21]}, "nothing marks|at most 20"),
        ({"obs": OBS, "action": ACTION, "episode_lengths": [8, -1]}, "no lengths of episodes"),
        (
            {"obs": OBS, "action": ACTION, "episode_ends": ENDS, "episode_lengths": [9, 11]},
            "mark different episodes",
        ),
        ({"obs": OBS, "action": ACTION, "episode_id": np.arange(20) % 3}, "comes back to"),
        ({"obs": OBS, "action": ACTION * np.nan, "episode_ends": ENDS}, "holds nan at step 0"),
        ({"obs": OBS[:, :0], "action": ACTION, "episode_ends": ENDS}, "no number in a step"),
        ({"obs": np.array([print] * 20), "action": ACTION, "episode_ends": ENDS}, "Python objects"),
    ],
)
def test_what_is_unclear_or_wrong_is_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, Any], fault: str
) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    with pytest.raises(DatasetError, match=fault) as caught:
        import_data(tmp_path / "a.npz", tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_an_unclear_source_is_mended_by_the_setting_that_its_error_shows(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", seen=OBS, motor=ACTION, stops=np.array(ENDS))
    with pytest.raises(DatasetError, match="keys={action: NAME, episode_ends: NAME, obs: NAME}"):
        import_data(tmp_path / "a.npz", tmp_path / "ours")
    keys = {"action": "motor", "episode_ends": "stops", "state": "seen"}
    import_data(tmp_path / "a.npz", tmp_path / "ours", keys=keys)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.attrs["source"]["mapped"] == {"action": "motor", "state": "seen"}
    assert np.array_equal(buffer.read("state"), OBS)
    assert buffer.episode_ends.tolist() == ENDS


def test_a_name_that_is_not_there_gets_the_nearest(tmp_path: Path) -> None:
    source = foreign.write_npz(tmp_path, foreign.make_episodes())
    with pytest.raises(DatasetError, match="no array 'obss'; did you mean 'obs'"):
        import_data(source, tmp_path / "ours", keys={"state": "obss"})
    with pytest.raises(DatasetError, match="give one name"):
        import_data(source, tmp_path / "ours", keys={"state": ["obs"]})


def test_seeds_environment_and_rate_are_read_and_the_rest_is_named(tmp_path: Path) -> None:
    episodes = foreign.make_episodes()
    source = foreign.write_npz(
        tmp_path,
        episodes,
        seed=np.array([4, 4, 9]),
        final_obs=np.zeros((3, 3)),
        env_id="lab/Cup-v0",
        timestamp=np.concatenate([np.arange(n) * 0.05 for n in (6, 7, 9)]),
        rewards=np.zeros(22),
    )
    report = import_data(source, tmp_path / "ours")
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.episode_seeds.tolist() == [4, 4, 9]
    assert buffer.attrs["env_id"] == "lab/Cup-v0"
    assert buffer.attrs["control_rate_hz"] == 20.0
    left = [note for note in report.notes if note.startswith("not carried over")]
    assert [any(name in note for note in left) for name in ("final_obs", "rewards")] == [True, True]
    assert buffer.attrs["source"]["notes"][0].startswith("3 episodes")


def test_irregular_times_give_no_rate_and_say_so(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.5, 22))
    source = foreign.write_npz(tmp_path, foreign.make_episodes(), timestamp=times)
    report = import_data(source, tmp_path / "ours")
    assert ReplayBuffer.open(tmp_path / "ours").attrs["control_rate_hz"] is None
    assert any("irregular" in note for note in report.notes)


def test_an_array_stored_by_columns_comes_over(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", obs=np.asfortranarray(OBS), action=ACTION, episode_ends=ENDS)
    import_data(tmp_path / "a.npz", tmp_path / "ours")
    assert np.array_equal(ReplayBuffer.open(tmp_path / "ours").read("obs"), OBS)


def member(shape: tuple[int, ...], content: bytes, descr: str = "<f8") -> bytes:
    """Return an .npy that declares a shape and holds any content."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    ("shape", "size", "fault"),
    [
        ((20, 10**12), 160, "declares"),
        ((10**15, 2), 160, "declares"),
        ((20, -3), 160, "no array"),
        ((20, 2.5), 160, "no array"),
        ((20, 1 << 21), 20 << 24, "one step takes|at most 128"),
        ((20, 3), 64 << 20, "declares 480 bytes and holds"),
    ],
)
def test_a_header_that_lies_and_a_bomb_are_refused_in_little_memory(
    tmp_path: Path, shape: tuple[int, ...], size: int, fault: str
) -> None:
    source = foreign.write_npz(tmp_path, foreign.make_episodes((20,)))
    if size > 1 << 28:
        shape = (20, 1 << 25)
        size = 160
        fault = "declares"
    with zipfile.ZipFile(source, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", member(shape, bytes(size)))
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=fault) as caught:
            import_data(source, tmp_path / "ours")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("name", "n_episodes"),
    [("Motion2D-p2", 113), ("StickButton2D-b1", 113), ("DynPushPullHook2D-o5", 104)],
)
def test_human_demonstrations_of_a_stranger_come_over_by_one_command(
    tmp_path: Path, name: str, n_episodes: int
) -> None:
    shared = Path(__file__).resolve().parents[5] / "shared" / "data" / "kinder"
    source = shared / f"{name}.npz"
    if not source.exists():
        pytest.skip("shared/data/kinder is absent")
    report = import_data(source, tmp_path / "ours", min_steps=5)
    assert report.n_episodes == n_episodes
    with np.load(source, allow_pickle=False) as arrays:
        kept = np.diff(arrays["episode_ends"], prepend=0) >= 5
        rows = np.repeat(kept, np.diff(arrays["episode_ends"], prepend=0))
        buffer = ReplayBuffer.open(tmp_path / "ours")
        assert np.array_equal(buffer.read("action"), arrays["action"][rows])
        assert np.array_equal(buffer.read("obs"), arrays["obs"][rows])
        assert np.array_equal(buffer.episode_seeds, arrays["seed"][kept])
        assert buffer.attrs["env_id"] == str(arrays["env_id"])

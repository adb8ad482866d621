"""Pickles: plain data comes over; whatever else they ask for is named and refused, never run."""

from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data
from kinoise.datasets.formats.plain.unpickling import load_plain
from kinoise.datasets.storage import ReplayBuffer

DTYPES = st.sampled_from(["f4", ">f8", "i8", "u1", "?", "<f2", "U3", "S2"])
NUMBERS = arrays.arrays(
    dtype=DTYPES, shape=arrays.array_shapes(max_dims=3, max_side=4), fill=st.nothing()
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | NUMBERS
)
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def same(one: Any, other: Any) -> bool:
    """Say whether two pieces of plain data are equal, types of arrays included."""
    if isinstance(one, np.ndarray):
        return (
            one.dtype.newbyteorder("=") == other.dtype.newbyteorder("=")
            and one.shape == other.shape
            and bool(((one == other) | ((one != one) & (other != other))).all())  # NaN too
        )
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(content=PLAIN, protocol=st.integers(0, 5))
def test_plain_data_reads_as_pickle_reads_it(
    tmp_path_factory: pytest.TempPathFactory, content: Any, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    assert same(load_plain(path), pickle.loads(path.read_bytes()))


def test_names_of_the_older_numpy_are_known(tmp_path: Path) -> None:
    content = pickle.dumps({"action": np.ones((2, 2))}, 2)
    assert b"numpy._core" in content
    path = tmp_path / "old.pkl"
    path.write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    assert load_plain(path)["action"].tolist() == [[1, 1], [1, 1]]


EPISODES = foreign.make_episodes((5, 6))


@pytest.mark.parametrize(
    "content",
    [
        EPISODES,
        dict(enumerate(EPISODES)),
        {key: [episode[key] for episode in EPISODES] for key in ("obs", "action")},
        {
            "observations": foreign.joined(EPISODES, "obs"),
            "actions": foreign.joined(EPISODES, "action"),
            "episode_ends": np.array([5, 11]),
        },
        [
            [{key: episode[key][step] for key in episode} for step in range(len(episode["obs"]))]
            for episode in EPISODES
        ],
    ],
    ids=["list", "dict of episodes", "dict of lists", "flat", "list of steps"],
)
def test_demonstrations_may_be_pickled_in_any_of_the_usual_ways(
    tmp_path: Path, content: Any
) -> None:
    (tmp_path / "demos.pkl").write_bytes(pickle.dumps(content))
    import_data(tmp_path / "demos.pkl", tmp_path / "ours")
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.episode_ends.tolist() == [5, 11]
    assert np.array_equal(buffer.read("action"), foreign.joined(EPISODES, "action"))
    assert np.array_equal(buffer.read("obs"), foreign.joined(EPISODES, "obs"))


def test_a_folder_of_a_pickle_an_episode_comes_over_in_order(tmp_path: Path) -> None:
    (tmp_path / "demos").mkdir()
    episodes = foreign.make_episodes([5] * 12)
    for number, episode in enumerate(episodes):
        content = pickle.dumps({"observations": episode["obs"], "actions": episode["action"]})
        (tmp_path / "demos" / f"{number}.pkl").write_bytes(content)
    import_data(tmp_path / "demos", tmp_path / "ours")
    read = ReplayBuffer.open(tmp_path / "ours").read("action")
    assert np.array_equal(read, foreign.joined(episodes, "action"))


class Runs:
    """What a harmful pickle does when it is loaded."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


class ByState:
    """An object that a loader would fill."""

    def __init__(self) -> None:
        self.x = 1


def _getattr_chain() -> bytes:
    return b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'__class__'\ntR."


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (pickle.dumps([Runs()]), "posix.mkdir|nt.mkdir"),
        (pickle.dumps(Runs(), 0), "posix.mkdir|nt.mkdir"),
        (pickle.dumps([ByState()]), "ByState"),
        (pickle.dumps(datetime.datetime(2024, 1, 1)), "datetime.datetime"),
        (pickle.dumps(collections.Counter("aab")), "collections.Counter"),
        (pickle.dumps({1, 2}), "the instruction EMPTY_SET"),
        (pickle.dumps(1j), "builtins.complex"),
        (pickle.dumps(np.random.default_rng(0)), "numpy.random"),
        (pickle.dumps(np.zeros(3, dtype=[("a", "f8")])), "dtype"),
        (pickle.dumps(np.array([[None, 1], [2, 3]], dtype=object)), "an array of objects"),
        (_getattr_chain(), "builtins.getattr"),
        (b"cos\nsystem\n(S'mkdir harm'\ntR.", "os.system"),
        (b"(S'mkdir harm'\nios\nsystem\n.", "the instruction INST"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"Pharm\n.", "the instruction PERSID"),
        (b"cnumpy\nndarray\n(I1000000000000\ntR.", "numpy.ndarray"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.", "no sound"),
    ],
    ids=range(17),
)
def test_anything_but_plain_data_is_named_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, asked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demos.pkl").write_bytes(content)
    with pytest.raises(DatasetError, match=asked) as caught:
        import_data(tmp_path / "demos.pkl", tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demos.pkl"]


def _billions() -> bytes:
    content: Any = [0.0] * 10
    for _ in range(9):
        content = [content] * 10
    return pickle.dumps([{"obs": content, "action": [[0.0]] * 10}])


def _itself() -> bytes:
    content: list[Any] = []
    content.append(content)
    return pickle.dumps([{"obs": content, "action": [[0.0]] * 10}])


@pytest.mark.parametrize(
    "content",
    [
        _billions(),
        _itself(),
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"x.",
        b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b"N.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"(" * 100_000 + b".",
        b"]" * 1000 + b"a" * 999 + b".",
        b"N",
        b"",
    ],
    ids=range(11),
)
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "demos.pkl").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError) as caught:
            import_data(tmp_path / "demos.pkl", tmp_path / "ours")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_the_library_agrees_on_what_was_harmless(tmp_path: Path) -> None:
    """The reader keeps up with what pickle writes for shared and repeated parts."""
    shared = np.arange(6.0).reshape(3, 2)
    buffer = io.BytesIO()
    pickle.dump({"a": shared, "b": [shared, shared], "n": np.float32(2)}, buffer, 4)
    (tmp_path / "a.pkl").write_bytes(buffer.getvalue())
    loaded = load_plain(tmp_path / "a.pkl")
    assert np.array_equal(loaded["b"][1], shared)
    assert loaded["n"] == np.float32(2)

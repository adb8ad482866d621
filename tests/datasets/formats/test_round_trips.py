"""What every format holds comes over bit for bit, whatever the numbers and lengths are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import foreign
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoise.datasets.formats import find_importer, import_data
from kinoise.datasets.storage import ReplayBuffer

pytest.importorskip("h5py")


@pytest.mark.parametrize("name", foreign.WRITERS)
def test_a_source_is_recognised_and_comes_over_bit_for_bit(tmp_path: Path, name: str) -> None:
    episodes = foreign.make_episodes()
    source = foreign.WRITERS[name](tmp_path, episodes)
    report = import_data(source, tmp_path / "ours")
    assert (report.format, report.n_episodes, report.n_steps) == (name, 3, 22)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.episode_ends.tolist() == foreign.ends_of(episodes).tolist()
    obs = foreign.OBS_KEYS.get(name, "obs")
    assert np.array_equal(buffer.read("action"), foreign.joined(episodes, "action"))
    assert np.array_equal(buffer.read(obs), foreign.joined(episodes, "obs"))
    assert buffer.attrs["source"]["format"] == name


@pytest.mark.parametrize("name", foreign.WRITERS)
@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    n_rows=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_a_source_reads_the_same_in_blocks_of_any_size(
    name: str, lengths: list[int], n_rows: int, seed: int
) -> None:
    episodes = foreign.make_episodes(lengths, seed)
    with TemporaryDirectory() as folder:
        source = foreign.WRITERS[name](Path(folder), episodes)
        with find_importer(source, name).open(source, None, allow_missing=False) as data:
            blocks = list(data.blocks(n_rows))
            assert data.blocks_of is not None
            odd = np.arange(len(lengths))[1::2]
            some = list(data.blocks_of(n_rows, odd))
    read = np.concatenate([block["action"] for block in blocks])
    assert np.array_equal(read, foreign.joined(episodes, "action"))
    assert data.episode_ends.tolist() == foreign.ends_of(episodes).tolist()
    if len(odd):
        part = np.concatenate([block["action"] for block in some])
        assert np.array_equal(part, foreign.joined(episodes[1::2], "action"))


@pytest.mark.parametrize("name", foreign.WRITERS)
def test_episodes_that_are_too_short_are_left_out_and_counted(tmp_path: Path, name: str) -> None:
    episodes = foreign.make_episodes((6, 3, 9, 2))
    source = foreign.WRITERS[name](tmp_path, episodes)
    report = import_data(source, tmp_path / "ours", min_steps=5)
    assert report.n_episodes == 2
    assert any("2 episodes of fewer than 5 steps" in note for note in report.notes)
    kept = [episodes[0], episodes[2]]
    read = ReplayBuffer.open(tmp_path / "ours").read("action")
    assert np.array_equal(read, foreign.joined(kept, "action"))

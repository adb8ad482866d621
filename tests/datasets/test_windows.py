"""The vectorised windows against Diffusion Policy's sampler written out in plain loops."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.windows import WindowIndex, split_episodes


@dataclass
class Layout:
    """Episode lengths and window sizes."""

    lengths: list[int]
    n_obs_steps: int
    horizon: int
    n_action_steps: int
    pad_before: int | None
    pad_after: int | None

    def build(self, padding: str = "repeat") -> WindowIndex:
        sizes = {name: value for name, value in vars(self).items() if name != "lengths"}
        return WindowIndex.build(np.cumsum(self.lengths), padding=padding, **sizes)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    n_obs_steps, n_action_steps = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    shortest = n_obs_steps - 1 + n_action_steps
    return Layout(
        lengths=draw(st.lists(st.integers(1, 25), min_size=1, max_size=6)),
        n_obs_steps=n_obs_steps,
        horizon=draw(st.integers(shortest, shortest + 6)),
        n_action_steps=n_action_steps,
        pad_before=draw(st.none() | st.integers(-1, 20)),
        pad_after=draw(st.none() | st.integers(-1, 20)),
    )


def sample_in_plain_loops(layout: Layout) -> list[tuple[list[int], list[bool]]]:
    """Diffusion Policy's `create_indices` and `sample_sequence`, item by item."""
    horizon = layout.horizon
    before = layout.n_obs_steps - 1 if layout.pad_before is None else layout.pad_before
    after = layout.n_action_steps - 1 if layout.pad_after is None else layout.pad_after
    before = min(max(before, 0), horizon - 1)
    after = min(max(after, 0), horizon - 1)
    windows = []
    begin = 0
    for length in layout.lengths:
        for offset in range(-before, length - horizon + after + 1):
            inside_from = max(offset, 0)
            inside_to = min(offset + horizon, length)
            rows: list[int] = []
            real: list[bool] = []
            for step in range(horizon):
                position = offset + step
                if position < inside_from:
                    rows.append(begin + inside_from)
                elif position >= inside_to:
                    rows.append(begin + inside_to - 1)
                else:
                    rows.append(begin + position)
                real.append(inside_from <= position < inside_to)
            windows.append((rows, real))
        begin += length
    return windows


@given(layouts())
def test_the_windows_are_those_of_the_plain_loops(layout: Layout) -> None:
    expected = sample_in_plain_loops(layout)
    if not expected:
        with pytest.raises(DatasetError, match="lower the horizon"):
            layout.build()
        return
    windows = layout.build("mask")
    rows = np.array([rows for rows, _ in expected])
    assert len(windows) == len(expected)
    assert np.array_equal(windows.action_rows(), rows)
    assert np.array_equal(windows.obs_rows(), rows[:, : layout.n_obs_steps])
    assert np.array_equal(windows.mask(), np.array([real for _, real in expected]))
    repeated = layout.build("repeat")
    assert np.array_equal(repeated.action_rows(), rows)
    assert repeated.mask().all()


@given(layouts(), st.integers(0, 2**32 - 1))
def test_any_selection_of_windows_is_that_part_of_all(layout: Layout, seed: int) -> None:
    if not sample_in_plain_loops(layout):
        return
    windows = layout.build("mask")
    chosen = np.random.default_rng(seed).integers(0, len(windows), 11)
    assert np.array_equal(windows.action_rows(chosen), windows.action_rows()[chosen])
    assert np.array_equal(windows.obs_rows(chosen), windows.obs_rows()[chosen])
    assert np.array_equal(windows.mask(chosen), windows.mask()[chosen])


def test_action_index_to_minus_one_is_the_action_at_the_last_observation() -> None:
    windows = WindowIndex.build(np.array([20]), n_obs_steps=3, horizon=8, n_action_steps=4)
    assert np.array_equal(windows.obs_rows()[:, -1], windows.action_rows()[:, 2])
    # With the default padding every step up to the last whole chunk to execute starts a window.
    assert windows.obs_rows()[:, -1].tolist() == list(range(20 - 8 + 3 + 3))


def test_windows_never_leave_their_episode() -> None:
    ends = np.array([9, 10, 40])
    windows = WindowIndex.build(ends, n_obs_steps=2, horizon=6, n_action_steps=5)
    rows = windows.action_rows()
    episode = np.searchsorted(ends, rows, side="right")
    assert (episode == episode[:, :1]).all()
    assert windows.skipped_episodes == ()
    short = WindowIndex.build(ends, n_obs_steps=2, horizon=6, n_action_steps=2)
    assert short.skipped_episodes == (1,)


@pytest.mark.parametrize(
    ("sizes", "fault"),
    [
        ({"n_obs_steps": 0}, "n_obs_steps is 0; give a whole number"),
        ({"horizon": -4}, "horizon is -4"),
        ({"n_action_steps": 1.5}, "n_action_steps is 1.5"),
        ({"n_action_steps": 16}, "it must be at least 17"),
        ({"padding": "reapeat"}, "did you mean 'repeat'"),
        ({"horizon": 60}, "the longest of 1 has 20"),
    ],
)
def test_sizes_that_contradict_are_told_in_one_line(sizes: dict[str, object], fault: str) -> None:
    layout = {"n_obs_steps": 2, "horizon": 16, "n_action_steps": 8, **sizes}
    with pytest.raises(DatasetError, match=fault):
        WindowIndex.build(np.array([20]), **layout)


@given(st.integers(2, 300), st.floats(0, 0.99), st.integers(0, 2**31))
def test_a_split_divides_the_episodes_and_repeats_with_its_seed(
    n_episodes: int, fraction: float, seed: int
) -> None:
    train, validation = split_episodes(n_episodes, fraction, seed)
    assert sorted([*train, *validation]) == list(range(n_episodes))
    assert len(train) >= 1
    assert (len(validation) > 0) == (fraction > 0)
    again = split_episodes(n_episodes, fraction, seed)
    assert np.array_equal(train, again[0])


def test_a_split_is_drawn_anew_by_every_seed_and_all_over_the_data() -> None:
    splits = [tuple(split_episodes(200, 0.1, seed)[1].tolist()) for seed in range(20)]
    assert len(set(splits)) == 20
    # Each of 200 episodes is set aside now and then: 20 draws of a tenth leave 12 % out.
    seen = {episode for split in splits for episode in split}
    assert 150 < len(seen) < 200
    assert min(seen) < 20

"""What the facts say against the data: each planted fault is told once, clean data raise none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoise.datasets.inspection import compute_facts, inspect, plot
from kinoise.datasets.inspection.facts import Modes
from kinoise.datasets.inspection.judging import SINE_COSINE, WITHOUT_OUTLIERS_MODE, judge
from kinoise.datasets.storage import ReplayBuffer

from .facts.planted import Episode, reach

STATED = {
    "control_rate_hz": 10,
    "env_id": "a/b-v0",
    "action": {"meaning": "relative", "low": [-9, -9], "high": [9, 9]},
}


def write(
    path: Path, make: Callable[[int], Episode], attrs: Any = STATED, count: int = 24
) -> ReplayBuffer:
    """Write episodes of a kind."""
    with ReplayBuffer.create(path, attrs) as buffer:
        for number in range(count):
            obs, action = make(number)
            buffer.append_episode({"state": obs, "action": action})
    return ReplayBuffer.open(path)


def clean(number: int) -> Episode:
    return reach(number, length=30, relative=True)


def slow_start(number: int) -> Episode:
    obs, action = clean(number)
    still = np.repeat(obs[:1], 12, axis=0)
    return np.concatenate([still, obs]), np.concatenate([np.zeros((12, 2)), action])


def clipped(number: int) -> Episode:
    obs, action = clean(number)
    return obs, np.clip(action, -0.02, 0.02)


def outlier(number: int) -> Episode:
    obs, action = clean(number)
    if number == 3:
        obs[7, 1] = 300.0
    return obs, action


def angle(number: int) -> Episode:
    obs, action = clean(number)
    turning = (0.3 * np.arange(30) + number) % (2 * np.pi)
    return np.concatenate([obs, turning[:, None]], axis=1), action


def two_ways(number: int) -> Episode:
    return reach(number, length=30, relative=True, side=0.05 * (-1) ** number)


def same_starts(number: int) -> Episode:
    obs, action = clean(number % 3)
    return obs, action + 1e-6 * number


def copies(number: int) -> Episode:
    obs, action = clean(number)
    return np.concatenate([obs, obs[:, :1]], axis=1), action


def absolute(number: int) -> Episode:
    return reach(number, length=30)


@pytest.mark.parametrize(
    ("make", "said", "mended"),
    [
        (slow_start, "24 at the start of an episode (288 steps)", "cut them"),
        (clipped, "actions stand at an end of their range: action[0] in", "clipped"),
        (outlier, "state[1] fill a sliver of the range", f"{{state: {WITHOUT_OUTLIERS_MODE}}}"),
        (angle, "angles wrap", SINE_COSINE.format(key="state", columns="[2]")),
        (same_starts, "24 episodes begin in only 3 distinct states", "vary the initial states"),
        (copies, "state[2] repeats state[0]", "leave copies out"),
        (absolute, "stated as relative, but they read as absolute", "state the meaning"),
    ],
)
def test_a_planted_fault_is_told_once_with_its_mend(
    tmp_path: Path, make: Callable[[int], Episode], said: str, mended: str
) -> None:
    facts = compute_facts(write(tmp_path / "d.zarr", make))
    assert facts is not None
    found = [finding for finding in judge(facts) if said in finding.message]
    assert len(found) == 1, judge(facts)
    assert mended in found[0].mend


def test_two_ways_are_told_where_neighbours_are_near_and_only_there(tmp_path: Path) -> None:
    facts = compute_facts(write(tmp_path / "d.zarr", clean, count=12))
    assert facts is not None
    for distance, told in ((0.2, 1), (0.9, 0)):
        modes = Modes(16, unexplained=0.3, split=0.2, distance=distance, around=np.zeros(4))
        found = judge(replace(facts, modes=modes))
        assert sum("two distinct ways" in finding.message for finding in found) == told


def test_clean_data_raise_none_and_are_described(tmp_path: Path) -> None:
    report = inspect(write(tmp_path / "d.zarr", clean))
    assert report.findings == ()
    text = report.to_text()
    assert "read as relative, stated relative" in text
    assert "24 distinct of 24" in text


def test_the_same_data_give_the_same_facts(tmp_path: Path) -> None:
    buffer = write(tmp_path / "d.zarr", two_ways)
    assert repr(compute_facts(buffer)) == repr(compute_facts(buffer))


def test_facts_are_of_the_observations_and_episodes_that_are_asked_for(tmp_path: Path) -> None:
    with ReplayBuffer.create(tmp_path / "d.zarr", STATED) as buffer:
        for number in range(10):
            obs, action = clean(number)
            buffer.append_episode({"state": obs, "other": obs * 2, "action": action})
    facts = compute_facts(ReplayBuffer.open(tmp_path / "d.zarr"), ["other"], range(4))
    assert facts is not None
    assert facts.n_episodes == 4
    assert facts.n_steps == 120
    assert [column.label for column in facts.obs] == ["other[0]", "other[1]"]


def test_long_data_are_sampled_by_whole_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoise.datasets.inspection.facts import sample

    monkeypatch.setattr(sample, "MAX_NUMBERS", 400 * 4)
    facts = compute_facts(write(tmp_path / "d.zarr", clean))
    assert facts is not None
    assert facts.n_steps == 24 * 30
    assert 0 < facts.n_sampled <= 400
    assert facts.n_sampled % 30 == 0


def test_episodes_with_nan_are_reported_and_left_out_of_the_facts(tmp_path: Path) -> None:
    import zarr

    path = write(tmp_path / "d.zarr", clean, count=8).path
    zarr.open_group(str(path), mode="r+")["data/state"][35, 1] = np.nan
    report = inspect(path)
    assert report.worst == "error"
    assert report.facts is not None
    assert report.facts.n_sampled == 7 * 30


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("length", [1, 5])
def test_tiny_and_constant_data_are_described_without_a_fault(
    tmp_path: Path, count: int, length: int
) -> None:
    for name, scale in (("moving", 1.0), ("constant", 0.0)):

        def make(number: int, scale: float = scale) -> Episode:
            obs, action = reach(number, length=length)
            return scale * obs, scale * action

        buffer = write(tmp_path / f"{name}.zarr", make, count=count)
        report = inspect(buffer)
        assert "what the demonstrations are like" in report.to_text()
        plot(buffer, tmp_path / f"{name}.png", report.facts)


def test_pictures_alone_are_said_not_to_be_measured(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with ReplayBuffer.create(tmp_path / "d.zarr", STATED) as buffer:
        for number in range(4):
            image = generator.integers(0, 255, (20, 4, 4, 3), dtype=np.uint8)
            buffer.append_episode({"image": image, "action": reach(number, length=20)[1]})
    report = inspect(tmp_path / "d.zarr")
    assert report.facts is not None
    assert report.facts.left_out == ("image",)
    assert "cannot be told" in report.to_text()


@pytest.mark.slow
def test_the_facts_of_the_human_demonstrations_are_those_known(
    tmp_path: Path, pusht_human: Path
) -> None:
    from kinoise.datasets.formats import import_data

    import_data(pusht_human, tmp_path / "p.zarr", keys=["state", "action", "keypoint"])
    facts = compute_facts(ReplayBuffer.open(tmp_path / "p.zarr"))
    assert facts is not None
    assert facts.meaning.found == "absolute"
    assert [column.label for column in facts.angles] == ["state[4]"]
    assert facts.modes is not None
    assert facts.history is not None
    assert facts.history.unexplained[2] < 0.5 * facts.history.unexplained[1]

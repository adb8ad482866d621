from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from kinoise.scripts.command.cli import main
from kinoise.scripts.familiarity import Windows
from kinoise.scripts.reporting.corruption import CORRUPTIONS, UNSEEN, Scale
from kinoise.scripts.reporting.detection import auroc, auroc_interval

SMALL = [
    "policy.network.width=32",
    "policy.network.depth=2",
    "trainer.warmup_steps=2",
    "data.batch_size=16",
    "n_threads=1",
    "evaluation.n_episodes=0",
]


def test_auroc_counts_pairs_and_half_of_the_ties() -> None:
    assert auroc([0, 1, 2], [1, 2, 3]) == pytest.approx(7 / 9)
    assert auroc([0, 1], [2, 3]) == 1
    assert auroc([2, 3], [0, 1]) == 0
    assert auroc([1, 1, 1], [1, 1]) == 0.5


def test_auroc_of_two_normals_is_the_known_one() -> None:
    rng = np.random.default_rng(0)
    found = auroc(rng.normal(size=20_000), rng.normal(1.5, 1, size=20_000))
    assert found == pytest.approx(NormalDist().cdf(1.5 / math.sqrt(2)), abs=5e-3)


def test_the_interval_of_an_auroc_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    truth = NormalDist().cdf(1.0 / math.sqrt(4))  # a normal of each observation and episode
    episodes = np.repeat(np.arange(30), 4)
    covered = 0
    for _ in range(60):
        shared = np.repeat(rng.normal(size=(2, 30)), 4, axis=1)
        negative, positive = shared + rng.normal(size=(2, 120)) + np.array([[0.0], [1.0]])
        interval = auroc_interval(negative, positive, episodes, episodes, n_resamples=400)
        assert interval.low <= interval.estimate <= interval.high
        covered += interval.low <= truth <= interval.high
    assert covered >= 52


def episodes(n: int = 6) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "pos": rng.uniform(-1, 3, (10 + i, 3)).astype(np.float32),
            "angle": rng.uniform(5, 6, (10 + i, 1)).astype(np.float32),
            "image": rng.integers(0, 255, (10 + i, 4, 4, 3)).astype(np.uint8),
        }
        for i in range(n)
    ]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_sensors_and_leaves_the_originals(name: str) -> None:
    before, kept = episodes(), episodes()
    scale = Scale.from_episodes(before)
    assert scale.keys == ["pos", "angle"]
    after = CORRUPTIONS[name][0](before, scale, np.random.default_rng(0))
    assert len(after) == len(before)
    for old, new, original in zip(before, after, kept, strict=True):
        assert all(np.array_equal(old[key], original[key]) for key in old)
        assert all(old[key].shape == new[key].shape for key in old)
        assert all(old[key].dtype == new[key].dtype for key in old)
        changed = {key for key in old if not np.array_equal(old[key], new[key])}
        assert changed == {"pos", "angle"} if name == "noise" else len(changed) == 1
        assert "image" not in changed


def test_a_number_outside_lies_a_quarter_of_the_range_beyond() -> None:
    before = episodes()
    scale = Scale.from_episodes(before)
    for old, new in zip(
        before, CORRUPTIONS["outside"][0](before, scale, np.random.default_rng(1)), strict=True
    ):
        (key,) = (key for key in old if not np.array_equal(old[key], new[key]))
        away = np.abs((new[key] - scale.centre[key]) / scale.half_range[key])
        assert (np.isclose(away, 1.5, atol=1e-5).sum(1) == 1).all()


def test_a_frozen_sensor_keeps_its_first_reading_and_a_swapped_one_shows_another_episode() -> None:
    before = episodes()
    frozen = CORRUPTIONS["frozen"][0](before, Scale.from_episodes(before), np.random.default_rng(0))
    swapped = CORRUPTIONS["swapped"][0](
        before, Scale.from_episodes(before), np.random.default_rng(0)
    )
    for number, (old, still, foreign) in enumerate(zip(before, frozen, swapped, strict=True)):
        (key,) = (key for key in old if not np.array_equal(old[key], still[key]))
        assert (still[key] == old[key][0]).all()
        assert np.array_equal(foreign[key][:10], before[number - 1][key][:10])


class _Seer:
    """What `Windows.of` asks of a policy."""

    obs_shapes = {"pos": (3,)}  # noqa: RUF012
    n_obs_steps, n_action_steps = 2, 4


def test_windows_are_what_a_controller_sees_when_it_replans() -> None:
    data = episodes(2)
    windows = Windows.from_trajectories(data, _Seer())  # type: ignore[arg-type]
    assert windows.episode.tolist() == [0, 0, 0, 1, 1, 1]
    assert windows.is_first.tolist() == [True, False, False, True, False, False]
    pos = windows.obs["pos"].numpy()
    assert np.array_equal(pos[0], data[0]["pos"][[0, 0]])
    assert np.array_equal(pos[2], data[0]["pos"][[7, 8]])
    assert np.array_equal(pos[5], data[1]["pos"][[7, 8]])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("likelihood")
    data, out = folder / "data.zarr", folder / "run"
    assert main(["collect", f"out={data}", "n_episodes=4", "n_workers=0"]) == 0
    assert main(["train", f"data.path={data}", f"run={out}", "trainer.n_steps=40", *SMALL]) == 0
    return out


def test_the_verb_says_how_familiar_observations_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["n_episodes=3", "n_workers=0", "n_plans=1", f"out={tmp_path}"]
    assert main(["familiarity", str(run), *words]) == 0
    said = capsys.readouterr().out
    result = json.loads((tmp_path / "familiarity.json").read_text())
    kinds = [row["kind"] for row in result["kinds"]]
    assert kinds == ["unseen", *CORRUPTIONS, "pushed"]
    assert kinds[1:4] == list(UNSEEN)
    assert all(0 <= row["auroc_interval"][0] <= row["auroc"] <= 1 for row in result["kinds"])
    assert result["n"] > 3
    assert "AUROC" in said
    assert "Familiarity of observations" in (tmp_path / "familiarity.html").read_text()


def test_missing_training_data_are_named_before_anything_runs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["familiarity", str(run), f"data={tmp_path}/gone.zarr"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "give data=PATH" in said.err
    assert said.out == ""


@pytest.mark.slow
def test_a_trained_policy_tells_unseen_observations_of_pick_place(tmp_path: Path) -> None:
    data, out = tmp_path / "data.zarr", tmp_path / "run"
    assert main(["collect", f"out={data}", "n_episodes=100"]) == 0
    words = [f"data.path={data}", f"run={out}", "trainer.n_steps=2500", "n_threads=1"]
    assert main(["train", "task=pick_place", *words, "evaluation.n_episodes=0"]) == 0
    assert main(["familiarity", str(out), f"out={tmp_path}"]) == 0
    metrics = json.loads((tmp_path / "familiarity.json").read_text())
    unseen = metrics["kinds"][0]
    assert unseen["kind"] == "unseen"
    assert unseen["auroc"] >= 0.9
    assert metrics["flagged"] <= 0.05

"""Many runs with one command, by Hydra's own sweeper and launcher."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from kinoise.scripts.command.cli import main
from kinoise.scripts.command.multirun import jobs
from kinoise.scripts.reporting.sweep import groups, mean_interval

from ..tiny import SMALL, write_data


def test_a_product_of_choices_is_every_job() -> None:
    words = ["seed=0,1", "network=dit,unet1d", "run=x", "lr=interval(0,1)"]
    assert list(jobs(words)) == [
        ["seed=0", "network=dit", "run=x"],
        ["seed=0", "network=unet1d", "run=x"],
        ["seed=1", "network=dit", "run=x"],
        ["seed=1", "network=unet1d", "run=x"],
    ]


def test_the_interval_over_seeds_is_students() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(mean - low)
    assert high - mean == pytest.approx(4.303 / math.sqrt(3))
    assert math.isnan(mean_interval([1.0])[1])


def test_runs_that_differ_in_their_seed_alone_are_taken_together() -> None:
    records = [
        {
            "number": number,
            "overrides": {"seed": str(seed), "network": network, "x": "1"},
            "figures": {"score": seed + (network == "dit")},
        }
        for number, (seed, network) in enumerate([(0, "dit"), (1, "dit"), (0, "mixer")])
    ]
    dit, mixer = groups(records)
    assert (dit.choices, dit.n, dit.figures["score"][0]) == ({"network": "dit"}, 2, 1.5)
    assert (mixer.choices, mixer.n) == ({"network": "mixer"}, 1)


def test_a_multirun_trains_every_choice_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data.zarr")
    words = [
        f"data.path={data}",
        *SMALL,
        "hydra.sweep.dir=sweep",
        "hydra.sweep.subdir=${hydra.job.num}",
    ]
    assert main(["train", "-m", "seed=0,1", "target=velocity,sample", *words]) == 0
    for number in range(4):
        assert (tmp_path / "sweep" / str(number) / "checkpoints" / "last").exists()
    rows = list(csv.DictReader((tmp_path / "sweep" / "results.csv").open()))
    assert [(row["seed"], row["target"]) for row in rows] == [
        ("0", "velocity"),
        ("0", "sample"),
        ("1", "velocity"),
        ("1", "sample"),
    ]
    means = json.loads((tmp_path / "sweep" / "results.json").read_text())["means"]
    assert [each["n"] for each in means] == [2, 2]
    assert "velocity" in capsys.readouterr().out


def test_a_job_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data.zarr")
    words = [f"data.path={data},{tmp_path / 'none.zarr'}", *SMALL]
    assert main(["train", "-m", *words, "hydra.sweep.dir=sweep"]) == 2
    assert "1 of the jobs failed" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "sweep" / "results.csv").open()))
    assert [bool(row["error"]) for row in rows] == [False, True]


def test_no_job_runs_when_one_of_them_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", "seed=0,abc"]) == 2
    assert "seed is 'abc'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("launcher", ["joblib"])
def test_a_launcher_that_is_installed_runs_the_jobs(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    monkeypatch.chdir(tmp_path)
    data = write_data(tmp_path / "data.zarr")
    words = [f"data.path={data}", *SMALL, "hydra.sweep.dir=sweep", f"hydra/launcher={launcher}"]
    assert main(["train", "-m", "seed=0,1", *words, "hydra.launcher.n_jobs=1"]) == 0
    assert len(list(csv.DictReader((tmp_path / "sweep" / "results.csv").open()))) == 2

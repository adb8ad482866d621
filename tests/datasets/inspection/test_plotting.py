"""The picture shows every dimension, each on an axis of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.inspection import plot, plotting
from kinoise.datasets.storage import ReplayBuffer

MakeBuffer = Callable[..., ReplayBuffer]
UNITS = {"units": "m, rad", "low": [-5, -5], "high": [5, 5]}


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands above the panels of the figures that are saved."""
    found: list[str] = []

    def save(figure: matplotlib.figure.Figure, path: Path) -> None:
        found.extend(axis.get_title() for axis in figure.axes)
        found.extend(text.get_text() for text in figure.texts)
        Path(path).write_bytes(b"picture")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save)
    return found


def write(path: Path, n_dimensions: int) -> Path:
    rng = np.random.default_rng(0)
    with ReplayBuffer.create(path, {"action": UNITS}) as buffer:
        for length in (12, 1, 30):
            state = rng.normal(size=(length, n_dimensions))
            buffer.append_episode({"action": rng.normal(size=(length, 2)), "state": state})
    return path


def test_every_dimension_has_a_panel_with_its_unit(tmp_path: Path, titles: list[str]) -> None:
    plot(write(tmp_path / "a.zarr", 30), tmp_path / "a.png")
    assert titles[:2] == ["action[0] (m)", "action[1] (rad)"]
    assert [title for title in titles if title.startswith("state")] == [
        f"state[{index}]" for index in range(30)
    ]


def test_dimensions_beyond_what_is_readable_are_said_to_be_left_out(
    tmp_path: Path, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotting, "MAX_DIMENSIONS", 4)
    plot(write(tmp_path / "a.zarr", 9), tmp_path / "a.png")
    assert sum(title.startswith("state[") for title in titles) == 4
    assert "state: first 4 of 9 dimensions" in titles[-1]


def test_each_panel_scales_its_axis_to_its_own_dimension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, tuple[float, float]] = {}

    def save(figure: matplotlib.figure.Figure, path: Path) -> None:
        limits.update({axis.get_title(): axis.get_ylim() for axis in figure.axes})
        Path(path).write_bytes(b"picture")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save)
    with ReplayBuffer.create(tmp_path / "a.zarr") as buffer:
        rows = np.linspace(0, 1, 50)[:, None] * [512.0, 3.14]
        buffer.append_episode({"action": rows[:, :1], "state": rows})
    plot(tmp_path / "a.zarr", tmp_path / "a.png")
    assert 500 < limits["state[0]"][1] < 700
    assert 3 < limits["state[1]"][1] < 4


def test_pictures_scalars_flags_and_nan_are_drawn(tmp_path: Path, make_buffer: MakeBuffer) -> None:
    drawn = plot(make_buffer([20, 1, 30]), tmp_path / "figures" / "a.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    with ReplayBuffer.create(tmp_path / "b.zarr", {"action": UNITS}) as buffer:
        episode = {"action": np.zeros((9, 2)), "flag": np.ones(9, dtype=bool)}
        buffer.append_episode(episode)
        buffer["action"][4, 0] = np.nan
    assert plot(tmp_path / "b.zarr", tmp_path / "b.svg").stat().st_size > 1000


def test_what_cannot_be_drawn_is_told_in_one_line(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "empty.zarr").close()
    with pytest.raises(DatasetError, match="no episode to draw"):
        plot(tmp_path / "empty.zarr", tmp_path / "empty.png")
    with pytest.raises(DatasetError, match="cannot draw"):
        plot(write(tmp_path / "a.zarr", 1), tmp_path / "a.unknown")
    assert not list(tmp_path.rglob("*.partial*"))

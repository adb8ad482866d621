"""Data sets for the tests of the LeRobot format: LeRobot's own, and small ones of ours."""

from __future__ import annotations

import runpy
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoise.datasets.storage import ReplayBuffer

FIXTURES = Path(__file__).parent / "fixtures"
#: What LeRobot made the fixtures from.
MADE = runpy.run_path(str(FIXTURES / "make.py"))

Arrays = dict[str, np.ndarray[Any, Any]]
Unzip = Callable[[str], Path]
Write = Callable[..., ReplayBuffer]


@pytest.fixture
def unzip(tmp_path: Path) -> Unzip:
    """Return a function that unpacks a fixture by its name."""

    def unpacked(name: str) -> Path:
        zipfile.ZipFile(FIXTURES / f"{name}.zip").extractall(tmp_path / name)
        return tmp_path / name

    return unpacked


@pytest.fixture
def made() -> Callable[[str], Arrays]:
    """Return a function that gives what a fixture was made from, all episodes end to end."""

    def arrays(name: str) -> Arrays:
        size = (64, 64) if "video" in name else (8, 10)
        scenes = [MADE["scene"](length, seed, size) for seed, length in enumerate(MADE["LENGTHS"])]
        return {key: np.concatenate([scene[key] for scene in scenes]) for key in scenes[0]}

    return arrays


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes episodes into a data set of ours."""

    def written(
        episodes: list[Arrays], attributes: Mapping[str, Any] | None = None
    ) -> ReplayBuffer:
        path = tmp_path / "ours.zarr"
        with ReplayBuffer.create(path, {"control_rate_hz": 10, **(attributes or {})}) as buffer:
            for episode in episodes:
                buffer.append_episode(episode)
        return ReplayBuffer.open(path)

    return written

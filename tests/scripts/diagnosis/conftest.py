"""Runs on the point of `benchmarks/faults`: a simulator of microseconds, trained for seconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def planting() -> Any:
    """The module that plants faults."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("faults.planting")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="session")
def point(planting: Any) -> Any:
    """The module of the environment."""
    return sys.modules["faults.point"]


@pytest.fixture(scope="session")
def trained(planting: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained for a moment: what needs no good policy uses it."""
    fault = planting.Fault("brief", (), n_demonstrations=16, n_steps=30)
    folder = tmp_path_factory.mktemp("point")
    run: Path = planting.train_run(fault, folder)
    return run


@pytest.fixture
def case_in(trained: Path, point: Any) -> Callable[..., Any]:
    """Open the run as a case in a world."""
    from kinoise.policy.checkpoints import find_checkpoint
    from kinoise.scripts.diagnosis import Rolling, open_case
    from kinoise.scripts.tasks import TaskSettings

    def opened(world: Any = None, n_episodes: int = 4, minutes: float = 5.0) -> Any:
        return open_case(
            find_checkpoint(trained),
            TaskSettings(name="point", env_id=None, obs_keys=["state"]),
            data=None,
            rolling=Rolling(n_episodes, first_seed=900_000, n_envs=8, n_workers=0),
            minutes=minutes,
            make_env=None if world is None else point.factory(world),
        )

    return opened

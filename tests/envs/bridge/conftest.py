"""Simulators that both sides can import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import pytest

from kinoise.envs.bridge.child import CALLED

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    yield
    gymnasium.registry.pop("strange/Arm-v0", None)
    sys.modules.pop("simulators", None)
    CALLED.clear()


@pytest.fixture
def python_that(tmp_path: Path) -> Callable[[str], str]:
    """Return the maker of a program that stands in for a Python and does something else."""

    def make(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make

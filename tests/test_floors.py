"""The oldest versions that pyproject.toml allows are enough: they are installed and tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What stands on the libraries: solvers of diffusers, configs of Hydra, tasks of MuJoCo, zarr.
SUBSET = (
    "tests/policy/sampling/test_schedulers.py",
    "tests/policy/checkpoints",
    "tests/scripts/test_configs.py",
    "tests/scripts/test_tasks.py",
    "tests/datasets/storage",
    "tests/envs/rendering",
)
EXTRAS = ("pytest", "hypothesis", "beartype", "scipy==1.13.0", "POT==0.9.5", "torchdiffeq==0.2.5")


def floors() -> list[str]:
    """Return every core dependency at its lowest version, as pip takes them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = []
    for line in project["dependencies"]:
        name, version = re.fullmatch(r"([\w.-]+)>=([\d.]+)(?:,<[\d.]+)?", line).groups()  # type: ignore[union-attr]
        found.append(f"{name}=={version}")
    return found


def test_every_core_dependency_states_its_floor() -> None:
    assert len(floors()) >= 15


@pytest.mark.slow
def test_the_lowest_versions_that_are_claimed_pass(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *floors(), *EXTRAS, "gym-pusht==0.1.6", "pymunk<7"], check=True)
    subprocess.run([*install, "--no-deps", str(ROOT)], check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUBSET],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]

"""The wheel holds what the tree holds, and works where nothing else of the tree is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("policy", "envs", "datasets", "configs", "scripts")
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")

# Overrides that leave of the demo the smallest run that still passes through every stage.
TINY_DEMO = (
    "n_demonstrations=3",
    "train=['trainer.n_steps=20','data.batch_size=16','evaluation.n_episodes=0']",
    "eval=['n_episodes=2']",
    "control=['seconds=1']",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is packaged, so that building leaves the checkout as it is."""
    copy = tmp_path_factory.mktemp("tree")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from the tree."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(tree)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(tree: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for room in ROOMS for path in (tree / room).rglob("*") if path.is_file()]
    assert packed == {f"kinoise/{path.relative_to(tree).as_posix()}" for path in files}


def test_the_wheel_declares_the_command_and_claims_no_top_level_datasets(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
    assert "kinoise = kinoise.scripts.command.cli:main" in text
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"kinoise"}


def test_the_version_of_the_command_is_that_of_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    version = next(line for line in text.splitlines() if line.startswith("Version: "))
    assert wheel.name.startswith(f"kinoise-{version.removeprefix('Version: ')}-")


@pytest.mark.slow
def test_the_wheel_runs_beside_hugging_faces_datasets_and_leaves_it_whole(
    wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]

    def run(*command: str | Path) -> str:
        # From a folder of its own, so that nothing of the checkout can be imported by accident.
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    both = "import datasets, kinoise.policy, kinoise.envs; datasets.Dataset.from_dict({'a': [1]})"
    run(*pip, "install", *constraints, str(wheel), "datasets")
    run(home / "bin" / "kinoise", "--help")
    run(home / "bin" / "kinoise", "demo", *TINY_DEMO)
    run(python, "-c", both)
    run(*pip, "uninstall", "--yes", "kinoise")
    run(python, "-c", "import datasets; datasets.Dataset.from_dict({'a': [1]})")
    run(*pip, "install", *constraints, "--no-deps", str(wheel))
    run(*pip, "uninstall", "--yes", "datasets")
    run(home / "bin" / "kinoise", "methods")
    run(python, "-c", "import kinoise.policy, kinoise.envs, kinoise.datasets.windows")

"""Run one of the programs in benchmarks/; they need a checkout, not only the package."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .command.errors import UsageError

#: The checkout that this package is installed from; of a wheel, a folder without benchmarks.
CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Settings:
    """See `configs/bench.yaml`."""

    benchmark: Literal[
        "latency", "loader", "training", "families", "guidance", "execution", "recipes"
    ]
    args: tuple[str, ...]


def run(settings: Settings) -> None:
    """Run `benchmarks/<benchmark>.py` in a process of its own and pass its failure on.

    Raises:
        UsageError: the package was installed without a checkout, or the program failed.
    """
    program = CHECKOUT / "benchmarks" / f"{settings.benchmark}.py"
    if not (program.is_file() and (CHECKOUT / "pyproject.toml").is_file()):
        raise UsageError(
            "benchmarks come with a checkout, and this Kinoise was installed without one; "
            "clone the repository and install it with `pip install --editable .`"
        )
    done = subprocess.run([sys.executable, str(program), *settings.args], check=False)
    if done.returncode:
        raise UsageError(
            f"benchmark '{settings.benchmark}' failed with exit status {done.returncode}; see above"
        )

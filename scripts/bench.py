"""Run one of the programs in benchmarks/; they need a checkout, not only the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .command.errors import UsageError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Run `benchmarks/<benchmark>.py` in a process of its own and pass its failure on."""
    program = Path("benchmarks") / f"{cfg.benchmark}.py"
    if not program.exists():
        raise UsageError(f"no '{program}' here; run this in a checkout of Kinoise")
    done = subprocess.run([sys.executable, str(program), *map(str, cfg.args)], check=False)
    if done.returncode:
        raise UsageError(f"{program} failed with exit status {done.returncode}; see above")

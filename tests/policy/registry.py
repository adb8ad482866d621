"""Everything registered for a slot, found in the configs: every matrix covers a new entry."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from torch import nn

from kinoise.policy.build import build
from kinoise.policy.paths import Path
from kinoise.policy.sampling.registry import SOLVERS
from kinoise.policy.targets import TARGETS
from kinoise.scripts.command import catalogue


def entries(slot: str) -> dict[str, Any]:
    """Return option name -> built object of every YAML of a slot."""
    folder = catalogue.config_folder() / slot
    built = {
        file.stem: build(yaml.safe_load(file.read_text())) for file in sorted(folder.glob("*.yaml"))
    }
    for entry in built.values():
        if isinstance(entry, nn.Module):
            entry.requires_grad_(False)
    return built


PATHS: dict[str, Path] = entries("path")

every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
every_target = pytest.mark.parametrize("target", list(TARGETS))
every_solver = pytest.mark.parametrize("solver", list(SOLVERS))

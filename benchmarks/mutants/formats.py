"""Faults in the importers and in the inspection of data."""

from __future__ import annotations

IMPORT = "tests/datasets/formats/test_diffusion_policy.py"
HOSTILE = "tests/datasets/formats/test_hostile_sources.py"
FORMATS = []

"""A tiny policy, and the import of the oracles beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "checkpoints"))
sys.path.insert(0, str(Path(__file__).parent / "transforms"))

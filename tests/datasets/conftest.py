"""Episodes and data sets for the tests of `kinoise.datasets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from kinoise.datasets.storage import ReplayBuffer

# A busy machine is no failure.
settings.register_profile("kinoise", deadline=None)
settings.load_profile("kinoise")

Episode = dict[str, NDArray[np.generic]]
MakeBuffer = Callable[..., ReplayBuffer]


def smooth_episode(length: int, seed: int = 0) -> Episode:
    """Return a smooth episode: state [T, 3], picture [T, 4, 5, 3] uint8, action [T, 2]."""
    generator = np.random.default_rng(seed)
    walk = np.cumsum(generator.normal(size=(length, 3)), axis=0)
    return {
        "state": walk.astype(np.float32),
        "image": generator.integers(0, 256, (length, 4, 5, 3), dtype=np.uint8),
        "action": walk[:, :2].astype(np.float64),
    }


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    """Return the function that makes the episodes of `make_buffer`: (length, seed)."""
    return smooth_episode


@pytest.fixture
def make_buffer(tmp_path: Path) -> MakeBuffer:
    """Return a function that writes a data set of episodes with the given lengths."""

    def make(lengths: Sequence[int], name: str = "data.zarr") -> ReplayBuffer:
        with ReplayBuffer.create(tmp_path / name) as buffer:
            for seed, length in enumerate(lengths):
                buffer.append_episode(smooth_episode(length, seed))
        return ReplayBuffer.open(tmp_path / name)

    return make


@pytest.fixture
def pusht_human() -> Path:
    """Return the human Push-T demonstrations beside the checkout, or skip."""
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "pusht_human.zarr"
    if not path.exists():
        pytest.skip("shared/data/pusht_human.zarr is absent")
    return path

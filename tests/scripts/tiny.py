"""A data set and a training that take a second, for tests of what surrounds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinoise.datasets.storage import ReplayBuffer

SHAPES = {"ee_pos": 3, "ee_rot": 2, "gripper": 1, "cube_pos": 3, "cube_rot": 2, "goal_pos": 2}
#: Overrides of `kinoise train`.
SMALL = (
    "policy.network.width=16",
    "policy.network.depth=1",
    "data.batch_size=8",
    "trainer.n_steps=2",
    "trainer.warmup_steps=1",
    "n_threads=1",
    "evaluation.n_episodes=0",
    "logger=none",
)


def write_data(path: Path) -> Path:
    """Write two episodes of noise as if recorded in PickPlace, and return the path."""
    rng = np.random.default_rng(0)
    with ReplayBuffer.create(path, {"env_id": "kinoise/PickPlace-v0"}) as buffer:
        for _ in range(2):
            episode = {k: rng.normal(size=(40, n)).astype(np.float32) for k, n in SHAPES.items()}
            action = rng.normal(size=(40, 5)).astype(np.float32)
            buffer.append_episode({**episode, "action": action})
    return path

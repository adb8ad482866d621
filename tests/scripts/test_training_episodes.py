"""The normaliser sees the episodes that are trained on and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinoise.datasets.storage import ReplayBuffer
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.composing import compose

SHAPES = {"ee_pos": 3, "ee_rot": 2, "gripper": 1, "cube_pos": 3, "cube_rot": 2, "goal_pos": 2}


def write(path: Path, extreme: set[int]) -> None:
    """Write ten episodes of PickPlace's shapes; those named are a thousand times as large."""
    rng = np.random.default_rng(0)
    with ReplayBuffer.create(path) as buffer:
        for number in range(10):
            size = 1000.0 if number in extreme else 1.0
            episode = {key: size * rng.normal(size=(40, n)) for key, n in SHAPES.items()}
            buffer.append_episode({**episode, "action": size * rng.normal(size=(40, 5))})


@pytest.mark.parametrize(
    "options", [["data.validation_fraction=0.3"], ["data.n_episodes=6"]], ids=str
)
def test_episodes_that_are_not_trained_on_do_not_move_the_normaliser(
    tmp_path: Path, options: list[str]
) -> None:
    path = tmp_path / "data.zarr"
    write(path, set())
    config = compose("train", [f"data.path={path}", "data.batch_size=8", *options])
    task = tasks.task_of(config)
    used = assembly.load_windows(config, ReplayBuffer.open(path), task).train_episodes
    extreme = set(range(10)) - set(used.tolist())
    assert extreme

    states = []
    for name in ("data.zarr", "extreme.zarr"):
        if name == "extreme.zarr":
            write(tmp_path / name, extreme)
        buffer = ReplayBuffer.open(tmp_path / name)
        loaders = assembly.load_windows(config, buffer, task)
        node = assembly.fill_dimensions(assembly.plain(config.policy), buffer, list(SHAPES))
        policy = assembly.build_policy(node, buffer, loaders.train, 0, "cpu")
        states.append(policy.normalizer.state_dict())
    plain, beside_extreme = states
    assert all(torch.equal(plain[key], beside_extreme[key]) for key in plain)

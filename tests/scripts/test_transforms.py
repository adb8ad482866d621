"""Transforms from the command line: statistics of what they leave, and one line for a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinoise.datasets.storage import ReplayBuffer
from kinoise.policy import DiffusionPolicy, PolicyError
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.settings import prepare

SHAPES = {"ee_pos": 3, "ee_rot": 2, "gripper": 1, "cube_pos": 3, "cube_rot": 2, "goal_pos": 2}
RELATIVE = [
    "transform=relative_action",
    "policy.transforms.relative_action.key=ee_pos",
    "policy.transforms.relative_action.key_columns=[0,1,2]",
    "policy.transforms.relative_action.columns=[0,1,2]",
]
SIN_COS = [
    "+transform@policy.transforms.angle=sin_cos",
    "policy.transforms.angle.key=ee_rot",
    "policy.transforms.angle.columns=[1]",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write episodes of PickPlace's shapes whose actions go ahead of a wandering hand."""
    rng = np.random.default_rng(0)
    with ReplayBuffer.create(tmp_path / "data.zarr") as buffer:
        for _ in range(6):
            episode = {key: rng.normal(size=(30, n)) for key, n in SHAPES.items()}
            episode["ee_pos"] = rng.normal(size=(30, 3)).cumsum(0)
            action = np.zeros((30, 5))
            action[:, :3] = episode["ee_pos"] + rng.uniform(-0.1, 0.1, size=(30, 3))
            action[:, 3:] = rng.normal(size=(30, 2))
            buffer.append_episode({**episode, "action": action})
    return tmp_path / "data.zarr"


def built(data: Path, *options: str) -> tuple[DiffusionPolicy, Any]:
    """Return an untrained policy fitted to the data, and its training loader."""
    words = ["task=pick_place", f"data.path={data}", "data.batch_size=8"]
    config = compose("train", [*words, *options])
    task = tasks.task_of(config)
    buffer = ReplayBuffer.open(data)
    loaders = assembly.load_windows(config, buffer, task)
    node = assembly.fill_dimensions(assembly.plain(config.policy), buffer, list(SHAPES))
    return assembly.build_policy(node, buffer, loaders.train, 0, "cpu"), loaders.train


def test_statistics_are_those_of_the_transformed_values_of_every_window(data: Path) -> None:
    policy, loader = built(data, *RELATIVE, *SIN_COS, "data.use_symmetry=false")
    assert policy.normalizer.get("ee_rot", "centre").shape == (3,)
    every = loader.gather(np.arange(len(loader.windows)))
    chunk = policy.border.to_network(every["action"], every["obs"])
    torch.testing.assert_close(chunk.amax(0), torch.ones(16, 5), rtol=0, atol=1e-4)
    torch.testing.assert_close(chunk.amin(0), -torch.ones(16, 5), rtol=0, atol=1e-4)
    # The hand wanders: what is far in the chunk has the larger range, and index 1 is now.
    scale = policy.normalizer.scale("action")
    assert (scale[1, :3] < 0.11).all()
    assert (scale[-1, :3] > 10 * scale[1, :3]).all()


def test_the_symmetry_acts_before_the_transforms_and_counts_in_the_statistics(data: Path) -> None:
    plain, _ = built(data, *RELATIVE, "data.use_symmetry=false")
    both, loader = built(data, *RELATIVE, "task=pick_place")
    if loader.symmetry is None:
        pytest.skip("the task has no symmetry")
    assert not torch.equal(plain.normalizer.scale("action"), both.normalizer.scale("action"))


def test_without_transforms_one_default_normalises_all_keys(data: Path) -> None:
    minmax, _ = built(data)
    quantile, _ = built(data, "policy.normalization.default=quantile")
    mixed, _ = built(data, "+policy.normalization.ee_pos={default: quantile, 1: identity}")
    for key in ("ee_pos", "action"):
        assert (quantile.normalizer.scale(key) < minmax.normalizer.scale(key)).all()
    scales = mixed.normalizer.scale("ee_pos")
    assert scales[1] == 1
    assert scales[0] == quantile.normalizer.scale("ee_pos")[0]


def test_unknown_keys_and_columns_are_told_by_the_policy(data: Path) -> None:
    with pytest.raises(PolicyError, match="did you mean 'ee_rot'"):
        built(data, *SIN_COS, "policy.transforms.angle.key=ee_rott")
    with pytest.raises(PolicyError, match="has no column 7"):
        built(data, *SIN_COS, "policy.transforms.angle.columns=[7]")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["transform=sin_cosine"], "did you mean 'sin_cos'"),
        (["transform=sin_cos"], "no value for policy.transforms.sin_cos.key"),
        ([*SIN_COS, "policy.transforms.angle.columns=two"], "a list such as"),
        ([*SIN_COS, "+policy.transforms.angle.colums=[1]"], "did you mean 'columns'"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_one_line(options: list[str], fault: str) -> None:
    from kinoise.scripts import train

    with pytest.raises(UsageError, match=fault):
        train.check(prepare("train", options))

"""Augmentation by a symmetry: half the windows, always the same ones, whole windows only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.loader import WindowLoader
from kinoise.datasets.symmetry import SymmetryMap
from kinoise.datasets.windows import WindowIndex

FLIP = {"x": (-np.eye(2), np.array([10.0, 0.0])), "action": (-np.eye(1), np.zeros(1))}


def _loader(symmetry: bool) -> WindowLoader:
    rng = np.random.default_rng(0)
    steps = {
        "x": torch.from_numpy(rng.normal(size=(200, 2)).astype(np.float32)),
        "free": torch.from_numpy(rng.normal(size=(200, 3)).astype(np.float32)),
        "action": torch.from_numpy(rng.normal(size=(200, 1)).astype(np.float32)),
    }
    windows = WindowIndex.build(np.array([80, 200]), n_obs_steps=2, horizon=8, n_action_steps=4)
    mapped = SymmetryMap(FLIP, steps) if symmetry else None
    return WindowLoader(steps, windows, batch_size=64, seed=4, symmetry=mapped)


def test_a_window_is_either_itself_or_wholly_its_image() -> None:
    plain, both = _loader(False).batch(3), _loader(True).batch(3)
    image = {
        "x": torch.tensor([10.0, 0.0]) - plain["obs"]["x"],
        "action": -plain["action"],
    }
    flipped = (both["action"] == image["action"]).all(-1).all(-1)
    assert 16 < int(flipped.sum()) < 48
    expected_action = torch.where(flipped[:, None, None], image["action"], plain["action"])
    expected_x = torch.where(flipped[:, None, None], image["x"], plain["obs"]["x"])
    torch.testing.assert_close(both["action"], expected_action)
    torch.testing.assert_close(both["obs"]["x"], expected_x)
    assert torch.equal(both["obs"]["free"], plain["obs"]["free"])


def test_the_choice_is_a_function_of_seed_and_step() -> None:
    first, again = _loader(True), _loader(True)
    again.batch(9)
    assert torch.equal(first.batch(5)["action"], again.batch(5)["action"])


def test_the_exact_image_is_that_of_the_batches_but_for_rounding() -> None:
    loader = _loader(True)
    assert loader.symmetry is not None
    x = loader.steps["x"]
    exact = loader.symmetry.image("x", x.numpy())
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, loader.symmetry("x", x), rtol=1e-6, atol=1e-6)


def test_what_training_is_shown_is_every_window_and_its_image() -> None:
    plain, both = _loader(False), _loader(True)
    windows = list(plain.shown(["x"]))
    shown = list(both.shown(["x"]))
    assert sum(len(batch["action"]) for batch in windows) == len(plain.windows)
    assert len(shown) == 2 * len(windows)
    for batch, same, image in zip(windows, shown[::2], shown[1::2], strict=True):
        assert set(batch["obs"]) == {"x"}
        assert torch.equal(same["action"], batch["action"])
        assert torch.equal(image["action"], -batch["action"])
        torch.testing.assert_close(image["obs"]["x"], torch.tensor([10.0, 0.0]) - batch["obs"]["x"])


def test_a_symmetry_of_another_size_is_refused() -> None:
    with pytest.raises(DatasetError, match="choose the task's own"):
        SymmetryMap({"x": (np.eye(3), np.zeros(3))}, {"x": torch.zeros(5, 2)})


def test_a_row_is_multiplied_by_the_matrix_and_moved_by_the_offset() -> None:
    """A quarter turn about (1, 2), which is no symmetric matrix."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    centre = np.array([1.0, 2.0])
    symmetry = SymmetryMap({"x": (turn, centre - turn @ centre)}, {"x": torch.zeros(1, 2)})
    points = np.array([[2.0, 2.0], [1.0, 2.0], [1.0, 5.0]])
    turned = [[1.0, 3.0], [1.0, 2.0], [-2.0, 2.0]]
    np.testing.assert_allclose(symmetry("x", torch.from_numpy(points)), turned, atol=1e-6)
    np.testing.assert_allclose(symmetry.image("x", points), turned, atol=1e-12)


def test_every_step_mirrors_rows_of_its_own() -> None:
    symmetry = SymmetryMap({"action": (-np.eye(1), np.zeros(1))}, {"action": torch.zeros(1, 1)})
    batch = {"obs": {}, "action": torch.ones(64, 2, 1)}
    chosen = [symmetry.some(batch, seed, step)["action"] for seed, step in [(0, 0), (0, 1), (1, 0)]]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        differs = (chosen[first] != chosen[second]).any(-1).any(-1).float().mean()
        assert 0.2 < differs < 0.8

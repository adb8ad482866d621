"""Symmetries of tasks are exact: the mirrored world goes on as the mirror of the world."""

from __future__ import annotations

import numpy as np
import pytest

from kinoise.envs import make_env
from kinoise.envs.tasks.push_t import geometry
from kinoise.envs.tasks.push_t.symmetry import mirror
from kinoise.envs.tasks.push_t.task import set_state

MIRROR = mirror()


def mirrored_state(state: np.ndarray) -> np.ndarray:
    """Return the mirror image of a Push-T state [5], by geometry alone."""
    matrix, offset = MIRROR["agent_pos"]
    # The T's frame is mirrored too (x -> -x), so that the image is again a turned T.
    turned = np.pi / 2 - state[4]
    return np.array([*(matrix @ state[:2] + offset), *(matrix @ state[2:4] + offset), turned])


def test_mirroring_twice_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    for key, (matrix, offset) in MIRROR.items():
        value = rng.uniform(0, 512, len(offset))
        if key == "keypoint":  # only points of a rigid block
            value = geometry.keypoints([200.0, 300.0, 0.7]).reshape(-1)
        twice = matrix @ (matrix @ value + offset) + offset
        np.testing.assert_allclose(twice, value, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_keypoints_are_the_keypoints_of_the_mirrored_block(seed: int) -> None:
    state = np.random.default_rng(seed).uniform([0, 0, 100, 100, 0], [512, 512, 400, 400, 6.28])
    matrix, offset = MIRROR["keypoint"]
    image = matrix @ geometry.keypoints(state[2:]).reshape(-1) + offset
    wanted = geometry.keypoints(mirrored_state(state)[2:]).reshape(-1)
    np.testing.assert_allclose(image, wanted, atol=1e-8)


def test_the_goal_is_its_own_mirror_image() -> None:
    image = mirrored_state(np.array([0, 0, *geometry.GOAL_POSE]))[2:]
    np.testing.assert_allclose(np.exp(1j * image[2]), np.exp(1j * geometry.GOAL_POSE[2]))
    np.testing.assert_allclose(image[:2], geometry.GOAL_POSE[:2])


@pytest.mark.parametrize("env_id", ["kinoise/GymPushT-v0", "kinoise/PushT-v0"])
def test_mirrored_pushes_cover_the_goal_equally(env_id: str) -> None:
    state = np.array([250.0, 400.0, 230.0, 250.0, 0.4])
    rng = np.random.default_rng(3)
    matrix, offset = MIRROR["action"]
    actions = np.array([250.0, 250.0]) + rng.uniform(-120, 120, (12, 2)).cumsum(0) * 0.3
    scores = []
    for start, pushes in (
        (state, actions),
        (mirrored_state(state), actions @ matrix.T + offset),
    ):
        env = make_env(env_id)
        if "Gym" in env_id:
            env.reset(options={"state": start % [1e9, 1e9, 1e9, 1e9, 2 * np.pi]})
        else:
            env.reset(seed=0)
            set_state(env.unwrapped.physics, start)
        scores.append([env.step(push.astype(np.float32))[4]["score"] for push in pushes])
        env.close()
    np.testing.assert_allclose(*scores, atol=0.01)

"""The T's outline, keypoints and coverage against independent computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from kinoise.envs.tasks.push_t import geometry

HUMAN_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "pusht_human.zarr"

poses = st.tuples(st.floats(-50, 600), st.floats(-50, 600), st.floats(-10, 10))
points = st.tuples(st.floats(-200, 800), st.floats(-200, 800))


def _inside(grid: np.ndarray, pose: tuple[float, float, float]) -> np.ndarray:
    """Whether world points lie in the T, from its two rectangles alone."""
    x, y = geometry.to_block(grid, np.array(pose)).T
    bar = (np.abs(x) <= 60) & (y >= 0) & (y <= 30)
    stem = (np.abs(x) <= 15) & (y >= 30) & (y <= 120)
    return bar | stem


def test_the_outline_encloses_the_bar_and_the_stem() -> None:
    outline = shapely.Polygon(geometry.OUTLINE)
    rectangles = shapely.union(shapely.box(*geometry.BAR), shapely.box(*geometry.STEM))
    assert outline.equals(rectangles)
    assert outline.area == 120 * 30 + 30 * 90


def test_a_block_on_the_goal_covers_it_wholly_and_one_far_away_not_at_all() -> None:
    away = (100.0, 450.0, 0.0)
    np.testing.assert_allclose(geometry.coverage([geometry.GOAL_POSE, away]), [1.0, 0.0])


@pytest.mark.parametrize("pose", [(256, 256, 0.8), (240, 270, 0.5), (300, 250, 3.0), (250, 330, 4)])
def test_coverage_agrees_with_counting_points(pose: tuple[float, float, float]) -> None:
    axis = np.arange(100, 420, 0.5) + 0.25
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    goal = _inside(grid, geometry.GOAL_POSE)
    counted = (goal & _inside(grid, pose)).sum() / goal.sum()
    assert geometry.coverage(pose) == pytest.approx(counted, abs=3e-3)


def test_coverage_of_many_poses_is_that_of_each() -> None:
    many = np.random.default_rng(0).normal(geometry.GOAL_POSE, (20, 20, 0.5), (2, 5, 3))
    each = [[float(geometry.coverage(pose)) for pose in row] for row in many]
    np.testing.assert_array_equal(geometry.coverage(many), each)


def test_the_score_is_coverage_over_95_percent_and_never_above_one() -> None:
    np.testing.assert_allclose(geometry.score([0.0, 0.475, 0.95, 1.0]), [0.0, 0.5, 1.0, 1.0])


@given(point=points, pose=poses)
def test_carrying_a_point_into_the_block_and_back_changes_nothing(
    point: tuple[float, float], pose: tuple[float, float, float]
) -> None:
    there = geometry.to_block(point, pose)
    back = geometry.to_world(there[None], pose)[0]
    np.testing.assert_allclose(back, point, atol=1e-9)


@given(point=points, pose=poses)
def test_the_distance_to_the_block_agrees_with_shapely(
    point: tuple[float, float], pose: tuple[float, float, float]
) -> None:
    block = shapely.Polygon(geometry.to_world(geometry.OUTLINE, pose))
    expected = shapely.distance(block, shapely.Point(point))
    assert float(geometry.distance(point, pose)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(not HUMAN_DATA.exists(), reason="needs shared/data")
def test_the_keypoints_are_those_of_the_human_data() -> None:
    import zarr

    data = zarr.open_group(str(HUMAN_DATA), mode="r")["data"]
    state = np.asarray(data["state"], np.float64)
    error = np.abs(geometry.keypoints(state[:, 2:]) - np.asarray(data["keypoint"])).max((1, 2))
    resting = np.concatenate([[False], (np.diff(state[:, 2:], axis=0) == 0).all(axis=1)])
    assert np.median(error) < 1e-4
    assert np.quantile(error, 0.99) < 0.05
    assert np.median(error[resting]) < 4e-5

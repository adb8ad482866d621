"""The PushT expert: its parts against their oracles, then what it achieves."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from kinoise.envs.rollouts import Recording, rollout
from kinoise.envs.task_env import TaskEnv
from kinoise.envs.tasks.push_t import expert as push_t
from kinoise.envs.tasks.push_t import geometry
from kinoise.envs.tasks.push_t.expert import PushTExpert
from kinoise.envs.tasks.push_t.push_model import compose, push_library
from kinoise.envs.tasks.push_t.push_route import Routes, route_lengths
from kinoise.envs.tasks.push_t.task import get_state, make_env, set_state
from kinoise.envs.tasks.push_t.tracking import PointTracker, glide

POSE = np.array([256.0, 230.0, 0.7])


def _env_at(state: np.ndarray) -> TaskEnv:
    env = make_env()
    env.reset(seed=0)
    set_state(env.physics, state)
    env.physics.forward()
    return env


def test_the_push_model_foretells_what_the_simulator_does() -> None:
    library = push_library()
    rng = np.random.default_rng(0)
    errors = []
    for push in rng.choice(len(library.starts), 20, replace=False):
        length = rng.integers(0, 12)
        start = geometry.to_world(library.starts[push, None], POSE)[0]
        end = geometry.to_world(library.ends[push, length, None], POSE)[0]
        env = _env_at(np.array([*start, *POSE]))
        tracker = PointTracker()
        for point in glide(np.stack([start, end]), push_t.PUSH_SPEED, push_t.PUSH_ACCELERATION):
            env.step(tracker.target(get_state(env.physics)[:2], point))
        reached = get_state(env.physics)
        np.testing.assert_allclose(reached[:2], end, atol=0.3)
        errors.append(np.abs(reached[2:] - compose(POSE, library.poses[push, length])))
    assert np.max(errors) < 1.0
    assert np.median(errors) < 0.1


def test_turning_a_push_with_the_block_turns_its_outcome() -> None:
    change = np.array([3.0, -2.0, 0.4])
    there = compose(POSE, change)
    expected = geometry.to_world(geometry.to_world(geometry.KEYPOINTS, change), POSE)
    np.testing.assert_allclose(geometry.keypoints(there), expected, atol=1e-9)


def test_ways_round_the_block_keep_clear_of_it() -> None:
    block = shapely.Polygon(geometry.OUTLINE)
    starts = push_library().starts
    touching = [-30.0, 60.0]
    for start in ([0.0, -40.0], [100.0, 60.0], touching, [0.0, 150.0]):
        routes = Routes(np.array(start), starts, POSE)
        for target in range(0, len(starts), 5):
            path = routes.path(target)
            # The first leg only leads away from the block.
            assert shapely.distance(shapely.LineString(path[:2]), block) >= geometry.PUSHER_RADIUS
            assert (
                shapely.distance(shapely.LineString(path[1:]), block) > geometry.PUSHER_RADIUS + 4
            )
            np.testing.assert_array_equal(path[[0, -1]], [start, starts[target]])
            assert routes.lengths[target] == pytest.approx(shapely.LineString(path).length)


def test_lengths_of_ways_between_starts_are_those_of_the_single_searches() -> None:
    starts = push_library().starts[::9]
    lengths = route_lengths(starts)
    single = np.stack([Routes(start, starts, POSE).lengths for start in starts])
    np.testing.assert_allclose(lengths, single, atol=1e-6)
    np.testing.assert_allclose(lengths, lengths.T, atol=1e-6)


def test_no_way_leads_out_of_the_world() -> None:
    pose = np.array([30.0, 256.0, np.pi / 2])
    starts = push_library().starts
    lengths = Routes(np.array([0.0, -60.0]), starts, pose).lengths
    world = geometry.to_world(starts, pose)
    outside = (world < 6).any(axis=1) | (world > 506).any(axis=1)
    assert outside.any()
    assert np.isinf(lengths[outside]).all()


def test_glides_respect_speed_and_acceleration_and_end_at_the_last_corner() -> None:
    path = glide(np.array([[0.0, 0.0], [150.0, 0.0], [300.0, 0.0]]), 24.0, 8.0)
    velocity = np.diff(np.concatenate([[[0.0, 0.0]], path, path[-1:]]), axis=0)
    assert np.abs(velocity).max() <= 24.0 + 1e-9
    assert np.abs(np.diff(velocity, axis=0)).max() <= 8.0 + 1e-9
    np.testing.assert_allclose(path[-1], [300.0, 0.0])


def test_the_tracker_brings_the_pusher_onto_every_planned_position() -> None:
    corners = np.array([[60.0, 60.0], [200.0, 80.0], [120.0, 300.0]])
    env = _env_at(np.array([60.0, 60.0, 400.0, 400.0, 0.0]))
    tracker = PointTracker()
    for point in glide(corners, 24.0, 8.0):
        env.step(tracker.target(get_state(env.physics)[:2], point))
        np.testing.assert_allclose(get_state(env.physics)[:2], point, atol=0.05)


def test_from_the_same_start_both_sides_of_the_block_are_taken() -> None:
    for env_seed in (0, 2, 4):
        obs, _ = make_env().reset(seed=env_seed)
        state = obs["state"].astype(np.float64)
        library = push_library()
        routes = Routes(geometry.to_block(state[:2], state[2:]), library.starts, state[2:])
        chosen = [
            push_t.choose_push(
                state[2:], routes.lengths, np.random.default_rng(seed), push_t.OPENING_INDIFFERENCE
            )[0]
            for seed in range(8)
        ]
        on_right = library.starts[chosen, 0] > 0
        assert 0 < on_right.sum() < len(on_right)


def test_the_expert_solves_a_few_episodes_whatever_the_batch() -> None:
    seeds = [0, 97, 105, 148]
    record = Recording(trajectories=True)
    together = rollout(make_env, PushTExpert, seeds, n_envs=4, record=record)
    alone = rollout(make_env, PushTExpert, seeds[::-1], n_envs=1, record=record)[::-1]
    for one, other in zip(together, alone, strict=True):
        assert one.success
        np.testing.assert_array_equal(one.action, other.action)
        assert one.action is not None
        assert one.action.min() >= 0
        assert one.action.max() <= 512


@pytest.mark.slow
def test_the_expert_scores_at_least_98_percent_over_200_episodes() -> None:
    results = rollout(make_env, PushTExpert, range(200))
    assert np.mean([result.score for result in results]) >= 0.98


@pytest.mark.slow
def test_the_expert_recovers_from_disturbed_actions() -> None:
    results = rollout(make_env, PushTExpert, range(20), perturb=_jitter)
    assert np.mean([result.score for result in results]) >= 0.95


def _jitter(actions: np.ndarray, seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
    noise = [
        np.random.default_rng([seed, step]).normal(0, 10, 2)
        for seed, step in zip(seeds, steps, strict=True)
    ]
    return actions + np.array(noise)

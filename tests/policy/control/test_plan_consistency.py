"""The measure of plans: what it calls two groups, a switch and a distance."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toys

from kinoise.policy.control import BestOfK, Execution, RecedingHorizon, WarmStart
from kinoise.policy.control.plan_consistency import Replan, compare, pooled, summary, two_groups
from kinoise.policy.control.receding_horizon import RecedingHorizonController


def _two(rng: np.random.Generator, n_second: int, gap: float = 10.0) -> np.ndarray:
    plans = rng.normal(size=(16, 5, 2))
    plans[:n_second, :, 0] += gap
    return plans


def test_two_planted_groups_are_found_and_one_is_left_whole() -> None:
    rng = np.random.default_rng(0)
    for n_second in (2, 5, 8, 14):
        group = two_groups(_two(rng, n_second))
        assert group is not None
        assert set(np.flatnonzero(group == group[0])) == set(range(n_second))
    assert all(two_groups(_two(rng, 0)) is None for _ in range(50))


def test_one_odd_plan_and_equal_plans_are_no_second_group() -> None:
    rng = np.random.default_rng(1)
    assert two_groups(_two(rng, 1, gap=3.0)) is None
    assert two_groups(np.ones((16, 5, 2))) is None
    assert two_groups(np.ones((3, 5, 2))) is None


def test_groups_need_no_units() -> None:
    plans = _two(np.random.default_rng(2), 6)
    for scale in (1e-9, 1e9):
        found = two_groups(scale * plans + 5 * scale)
        assert found is not None
        assert (found == two_groups(plans)).all()


def test_the_distance_is_the_root_mean_square_on_the_overlap() -> None:
    plan = np.zeros((2, 2))
    previous = np.array([[3.0, 0.0], [0.0, 4.0]])
    replan = compare(plan, previous, np.zeros((16, 2, 2)))
    assert replan == Replan(2.5, multimodal=False, switched=False)


@pytest.mark.parametrize(("before", "now"), [(0, 0), (0, 10), (10, 0), (10, 10)])
def test_a_switch_is_a_plan_of_the_other_group(before: float, now: float) -> None:
    fresh = _two(np.random.default_rng(3), 8)
    offset = np.array([1.0, 0.0])
    replan = compare(np.zeros((5, 2)) + now * offset, np.zeros((5, 2)) + before * offset, fresh)
    assert replan.multimodal
    assert replan.switched == (before != now)


def test_episodes_are_pooled_by_their_replans() -> None:
    short = summary([Replan(1.0, multimodal=True, switched=True)])
    long = summary([Replan(0.0, multimodal=True, switched=False)] * 3)
    assert pooled([short, long]) == {
        "replans": 4,
        "disagreement": 0.25,
        "multimodal": 1.0,
        "switches": 0.25,
    }
    assert summary([])["replans"] == pooled([])["replans"] == 0


def _switches(execution: Execution) -> dict[str, float]:
    """Return the summary of 12 episodes of 12 replans by the exact denoiser of two plans."""
    controller = RecedingHorizonController.from_policy(
        toys.bimodal(execution), batch_size=12, compare_plans=True
    )
    seeds = range(100, 112)
    obs = {"agent_pos": np.zeros(2, np.float32), "keypoint": np.zeros((3, 2), np.float32)}
    for tick in range(4 * 12 + 1):
        controller([obs] * len(seeds), list(seeds), [tick] * len(seeds))
    reports = [controller.report(seed) for seed in seeds]
    return pooled([report for report in reports if report is not None])


def test_plain_execution_hops_between_two_modes_and_the_consistent_ones_do_not() -> None:
    """Of 144 replans half should switch: below a third has probability 1e-4."""
    plain = _switches(RecedingHorizon())
    assert plain["replans"] == 144
    assert plain["multimodal"] > 0.95
    assert 0.33 < plain["switches"] < 0.67
    for execution in (BestOfK(8), WarmStart(0.3)):
        steady = _switches(execution)
        assert steady["multimodal"] > 0.95
        assert steady["switches"] < 0.05
        assert steady["disagreement"] < plain["disagreement"] / 3

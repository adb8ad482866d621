"""Every way to execute chunks: what all have in common, and each one's exact answers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import tiny
import toys

from kinoise.policy.control import (
    BestOfK,
    Execution,
    RecedingHorizon,
    TemporalEnsemble,
    WarmStart,
    pacing,
)
from kinoise.policy.control.receding_horizon import RecedingHorizonController
from kinoise.policy.errors import PolicyError

EXECUTIONS = [
    RecedingHorizon(),
    TemporalEnsemble(),
    TemporalEnsemble(decay=-2.0),
    BestOfK(n_candidates=4),
    BestOfK(n_candidates=4, forward=0.5),
    WarmStart(0.5),
]
every_execution = pytest.mark.parametrize("execution", EXECUTIONS, ids=str)


def _controller(execution: Execution, **settings: object) -> RecedingHorizonController:
    policy = tiny.policy(execution=execution, obs_shapes={"x": [2]}).eval()
    policy.n_action_steps = 3
    return RecedingHorizonController.from_policy(policy, **settings)  # type: ignore[arg-type]


@every_execution
@pytest.mark.parametrize("n_action_steps", [1, 3, 7])
def test_a_constant_plan_gives_the_same_actions_whatever_the_execution(
    execution: Execution, n_action_steps: int
) -> None:
    controller = RecedingHorizonController(toys.Constant(), 2, n_action_steps, execution=execution)
    actions = toys.act(controller, [3, 5], 20)
    assert (actions == np.array([0.1, -0.7], np.float32)).all()


@every_execution
def test_actions_do_not_depend_on_the_episodes_beside_them(execution: Execution) -> None:
    alone = toys.act(_controller(execution, batch_size=2), [7], 8)
    among = toys.act(_controller(execution, batch_size=2), [1, 7, 4], 8)
    assert (among[:, 1] == alone[:, 0]).all()


@every_execution
def test_another_batch_size_gives_the_same_plans_up_to_rounding(execution: Execution) -> None:
    one = toys.act(_controller(execution, batch_size=1), [1, 2, 3], 8)
    many = toys.act(_controller(execution, batch_size=4), [1, 2, 3], 8)
    assert np.allclose(one, many, atol=1e-5)


@every_execution
def test_a_new_episode_remembers_nothing_of_the_last(execution: Execution) -> None:
    controller = _controller(execution)
    first = toys.act(controller, [7], 8)
    assert (toys.act(controller, [7], 8) == first).all()


@every_execution
def test_comparing_plans_leaves_the_actions_as_they_are(execution: Execution) -> None:
    plain = toys.act(_controller(execution), [7, 8], 10)
    controller = _controller(execution, compare_plans=True)
    assert (toys.act(controller, [7, 8], 10) == plain).all()
    report = controller.report(7)
    assert report is not None
    assert report["replans"] == 3


@every_execution
def test_a_late_chunk_moves_no_deadline(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pacing.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    source = toys.Constant()

    def slow(*args: object, **named: object) -> torch.Tensor:
        now[0] += 0.25
        return source(*args, **named)  # type: ignore[arg-type]

    controller = RecedingHorizonController(slow, 1, 4, execution=execution)
    clock = pacing.PacedClock(10.0, 12)
    while clock.wait():
        toys.act(controller, [0], 1, first=len(clock.pace.latencies))
        clock.commanded()
    # A chunk takes two periods and a half, and the three ticks after it catch up.
    assert clock.pace.latencies == pytest.approx([0.25, 0.15, 0.05, 0.0] * 3, abs=1e-9)
    assert len(source.rows) == 3


def test_the_default_is_a_receding_horizon() -> None:
    assert tiny.policy().execution == RecedingHorizon()
    plain = toys.act(RecedingHorizonController(toys.Noisy(), 1, 3), [5], 9)
    chunk = toys.Noisy()(
        {"x": torch.tensor([[[5.0, 0.0]]])}, [torch.Generator().manual_seed(5)], previous=None
    )
    assert (plain[:3, 0] == chunk[0, :3].numpy()).all()


def test_an_ensemble_of_known_chunks_is_their_weighted_mean() -> None:
    m = 0.3
    oldest, middle, newest = (
        np.full((6, 1), value) + np.arange(6)[:, None] for value in (1.0, 5.0, 9.0)
    )
    actions = TemporalEnsemble(m).actions([oldest, middle, newest], first=1, n=2)
    # Planned two steps apart: index 1 of the newest is 3 of the middle and 5 of the oldest.
    w = np.exp(-m * np.arange(3))
    first = (w[0] * oldest[5] + w[1] * middle[3] + w[2] * newest[1]) / w.sum()
    second = (w[0] * middle[4] + w[1] * newest[2]) / w[:2].sum()
    assert np.allclose(actions, [first, second], rtol=1e-12)


def test_a_controller_averages_every_chunk_that_reaches_the_step() -> None:
    drawn: list[np.ndarray] = []

    def source(obs: object, generator: object, *, previous: object) -> torch.Tensor:
        drawn.append(np.random.default_rng(len(drawn)).normal(size=(1, 5, 1)).astype(np.float32))
        return torch.from_numpy(drawn[-1])

    controller = RecedingHorizonController(source, 2, 1, execution=TemporalEnsemble(0.5))
    actions = toys.act(controller, [0], 7)[:, 0, 0]
    for tick in range(7):
        ages = [age for age in range(4) if age <= tick][::-1]
        said = np.array([drawn[tick - age][0, 1 + age, 0] for age in ages], np.float64)
        weights = np.exp(-0.5 * np.arange(len(said)))
        assert actions[tick] == pytest.approx((weights * said).sum() / weights.sum(), rel=1e-6)


def test_an_extreme_decay_leaves_the_newest_or_the_oldest_chunk() -> None:
    chunks = [np.full((6, 1), value, np.float32) for value in (1.0, 2.0, 3.0)]
    assert TemporalEnsemble(1e9).actions(chunks, 0, 1).tolist() == [[1.0]]
    assert TemporalEnsemble(-1e9).actions(chunks, 0, 1).tolist() == [[3.0]]


def test_best_of_k_takes_the_planted_plan_that_goes_on_with_the_last() -> None:
    rng = np.random.default_rng(0)
    previous = rng.normal(size=(4, 2))
    plans = rng.normal(size=(8, 6, 2))
    plans[5, :4] = previous + 0.01
    plans[5, 4:] += 10  # beyond the overlap nothing counts
    assert BestOfK(8).choose(plans, previous) == 5
    assert BestOfK(8).choose(plans, None) == 0


def test_best_of_k_weighs_the_steps_by_the_powers_of_its_decay() -> None:
    previous = np.zeros((2, 2))
    plans = np.array([[[0.0, 0.0], [3.0, 4.0]], [[0.0, 2.0], [0.0, 0.0]]])
    # 5 rho against 2: the norms of the steps, not their squares.
    assert BestOfK(2, decay=0.39).choose(plans, previous) == 0
    assert BestOfK(2, decay=0.41).choose(plans, previous) == 1


def test_forward_contrast_prefers_the_common_plan() -> None:
    plans = np.array([9.0, 1.0, 1.1, 0.9, -9.0])[:, None, None].repeat(3, 1)
    assert BestOfK(5, forward=1.0).choose(plans, None) == 1
    assert BestOfK(5, forward=0.0).choose(plans, None) == 0
    near_the_odd = np.full((2, 1), 8.0)
    assert BestOfK(5, forward=1e-3).choose(plans, near_the_odd) == 0


def test_distances_are_those_of_the_normalised_actions() -> None:
    """Metres and degrees count alike: the unit of a dimension is its range in the data."""
    draws = iter([[[0.0, 0.0]], [[0.1, 0.0], [0.0, 20.0]]])

    def source(obs: object, generator: object, *, previous: object) -> torch.Tensor:
        rows = torch.tensor(next(draws))
        rows = rows.expand(2, 2) if len(rows) == 1 else rows
        return rows[:, None].repeat(1, 4, 1)

    controller = RecedingHorizonController(
        source, 1, 1, execution=BestOfK(2), scale=np.array([0.01, 100.0])
    )
    assert toys.act(controller, [0], 2)[1, 0].tolist() == [0.0, 20.0]


def test_plans_are_compared_step_for_step() -> None:
    """The last chunk counts 0, 1, 2 ...; two steps later the one that begins with 2 goes on."""
    begins = iter([[0.0, 0.0], [3.0, 2.0]])

    def source(obs: object, generator: object, *, previous: object) -> torch.Tensor:
        return torch.tensor(next(begins))[:, None, None] + torch.arange(8.0)[:, None]

    controller = RecedingHorizonController(source, 3, 2, execution=BestOfK(2))
    assert toys.act(controller, [0], 4)[:, 0, 0].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_one_candidate_is_plain_execution_and_k_are_one_call() -> None:
    plain = toys.act(RecedingHorizonController(toys.Noisy(), 1, 3), [5, 6], 9)
    one = RecedingHorizonController(toys.Noisy(), 1, 3, execution=BestOfK(1))
    assert (toys.act(one, [5, 6], 9) == plain).all()

    source = toys.Constant()
    many = RecedingHorizonController(source, 1, 4, execution=BestOfK(6), batch_size=2)
    toys.act(many, [5, 6], 8)
    assert source.rows == [12, 12]


def test_an_episode_owns_the_noise_of_its_candidates() -> None:
    seen: list[float] = []

    def source(obs: object, generator: list[torch.Generator], *, previous: object) -> torch.Tensor:
        noise = torch.stack([torch.randn(4, 1, generator=one) for one in generator])
        seen.extend(noise[:, 0, 0].tolist())
        return noise

    controller = RecedingHorizonController(source, 1, 2, execution=BestOfK(3), batch_size=2)
    toys.act(controller, [5, 6], 1)
    mine = torch.Generator().manual_seed(6)
    assert seen[3:] == [float(torch.randn(4, 1, generator=mine)[0]) for _ in range(3)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BestOfK(0), "n_candidates"),
        (lambda: BestOfK(10**9), "n_candidates"),
        (lambda: BestOfK(True), "n_candidates"),
        (lambda: BestOfK(decay=0.0), "decay"),
        (lambda: BestOfK(decay=float("nan")), "decay"),
        (lambda: BestOfK(forward=-1.0), "forward"),
        (lambda: BestOfK(forward=float("inf")), "forward"),
        (lambda: TemporalEnsemble(float("nan")), "decay"),
        (lambda: TemporalEnsemble(float("inf")), "decay"),
        (lambda: WarmStart(0.0), "start"),
        (lambda: WarmStart(1.5), "start"),
        (lambda: WarmStart(float("nan")), "start"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(PolicyError, match=f"execution.{message}") as caught:
        make()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("execution", [BestOfK(2), TemporalEnsemble()], ids=str)
def test_chunks_that_are_executed_to_their_end_have_nothing_to_agree_on(
    execution: Execution,
) -> None:
    policy = tiny.policy(execution=execution, n_action_steps=7)
    with pytest.raises(PolicyError, match="give n_action_steps below 7"):
        RecedingHorizonController.from_policy(policy)
    with pytest.raises(PolicyError, match="a comparison of plans needs"):
        RecedingHorizonController.from_policy(tiny.policy(n_action_steps=7), compare_plans=True)

"""Costs: zero where all is well, exact where not, each row with its own parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kinoise.policy.guidance.costs import ForbiddenDisc, Goal, JointLimits, Sum, refined

PER_ROW = torch.tensor([[0.0, 0.0], [1.0, -1.0], [4.0, 0.5]])
COSTS: dict[str, Callable[[object], object]] = {
    "disc": lambda at: ForbiddenDisc(at, 1.0, margin=0.5, between=2),  # type: ignore[arg-type]
    "limits": lambda at: JointLimits([-2.0, -2.0], at),  # type: ignore[arg-type]
    "goal": lambda at: Goal(at, step=3),  # type: ignore[arg-type]
    "sum": lambda at: Sum([Goal(at), ForbiddenDisc(at, 2.0)], [0.5, 2.0]),  # type: ignore[arg-type]
}
EVERY_COST = pytest.mark.parametrize("make", COSTS.values(), ids=COSTS.keys())


def _actions(size: int = 3) -> Tensor:
    return torch.randn(size, 6, 2, generator=torch.Generator().manual_seed(0))


@EVERY_COST
def test_row_i_of_a_batch_costs_what_it_costs_alone(make: Callable[[object], object]) -> None:
    actions, obs = _actions(), {"place": torch.stack([PER_ROW + 7, PER_ROW], 1)}
    together = make(PER_ROW)(actions, {})  # type: ignore[operator]
    assert together.shape == (3,)
    observed = make("place")(actions, obs)  # type: ignore[operator]
    assert torch.equal(together, observed)
    for i in range(3):
        alone = make(PER_ROW[i].tolist())(actions[i : i + 1], {})  # type: ignore[operator]
        torch.testing.assert_close(alone, together[i : i + 1])


@EVERY_COST
def test_gradients_are_those_of_finite_differences(make: Callable[[object], object]) -> None:
    cost = make(PER_ROW.double())
    actions = _actions().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: cost(a, {}), actions)  # type: ignore[operator]


def test_a_disc_costs_half_the_squared_depth_in_units_of_softness() -> None:
    actions = torch.tensor([[[9.0, 0.0], [9.0, 3.0], [9.0, 7.0]]])
    disc = ForbiddenDisc([0.0, 0.0], 4.0, margin=1.0, dims=(1, 1), softness=2.0)
    depths = [5.0, 5 - 3 * 2**0.5]  # dims (1, 1) put the points on a diagonal
    torch.testing.assert_close(
        disc(actions, {}), torch.tensor([sum(0.5 * (d / 2) ** 2 for d in depths)])
    )


def test_a_disc_has_a_finite_gradient_at_its_centre_and_none_outside() -> None:
    actions = torch.tensor([[[0.0, 0.0], [5.0, 5.0]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(ForbiddenDisc([0.0, 0.0], 2.0)(actions, {}).sum(), actions)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_disc_sees_the_way_between_two_actions() -> None:
    across = torch.tensor([[[-3.0, 0.0], [3.0, 0.0]]])
    assert ForbiddenDisc([0.0, 0.0], 1.0)(across, {}) == 0
    assert ForbiddenDisc([0.0, 0.0], 1.0, between=1)(across, {}) == 0.5
    assert refined(across, 2)[0, :, 0].tolist() == [-3, 3, -1, 1]


def test_limits_cost_nothing_within_their_margin() -> None:
    limits = JointLimits([-1.0], [1.0], margin=0.25, dims=[1])
    actions = torch.tensor([[[9.0, 0.75]], [[9.0, 1.0]], [[9.0, -1.75]]])
    torch.testing.assert_close(limits(actions, {}), torch.tensor([0.0, 0.5 * 0.25**2, 0.5]))


def test_a_goal_looks_at_one_action_only() -> None:
    actions = torch.zeros(1, 6, 2)
    actions[0, 4] = torch.tensor([3.0, 4.0])
    assert Goal([0.0, 0.0], step=4)(actions, {}) == 12.5
    assert Goal([0.0], step=4, dims=[1])(actions, {}) == 8.0
    assert Goal([0.0, 0.0])(actions, {}) == 0.0

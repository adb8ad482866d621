"""Clamps and projections of the estimate."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance import Box, DynamicClamp, MaxStep, OutsideDisc, Projection
from kinoise.policy.guidance.estimate import Estimate


def _estimate(sample: Tensor) -> Estimate:
    def blind() -> Tensor:
        raise AssertionError("nobody asked")

    return Estimate(
        sample, sample, 0.5, 0.5, 0.5, 0, 1, {}, lambda x: 3 * x + 1, lambda x: (x - 1) / 3, blind
    )


def test_a_dynamic_clamp_leaves_rows_within_the_range_alone() -> None:
    sample = torch.rand(4, 8, 2) * 2 - 1
    assert torch.equal(DynamicClamp()(_estimate(sample)), sample)


def test_a_dynamic_clamp_keeps_the_shape_of_a_row_that_is_too_large() -> None:
    sample = torch.rand(4, 8, 2) * 2 - 1
    sample[2] *= 5
    clamped = DynamicClamp(quantile=1.0)(_estimate(sample))
    torch.testing.assert_close(clamped[2], sample[2] / sample[2].abs().max())
    assert torch.equal(clamped[[0, 1, 3]], sample[[0, 1, 3]])
    most = DynamicClamp(quantile=0.8, bound=0.5)(_estimate(sample))
    assert (most.abs() <= 0.5).all()
    assert (most[2].abs() == 0.5).sum() >= 3


def test_projections_happen_in_the_units_of_the_data() -> None:
    sample = torch.tensor([[[0.5, -0.9], [0.1, 0.2]]])  # actions (2.5, -1.7), (1.3, 1.6)
    edit = Projection(Box([0.0, 0.0], [2.0, 2.0]))
    projected = edit(_estimate(sample))
    torch.testing.assert_close(projected, torch.tensor([[[1 / 3, -1 / 3], [0.1, 0.2]]]))
    assert torch.equal(projected[0, 1], sample[0, 1])


@pytest.mark.parametrize(
    "onto",
    [Box([0.0, -1.0], [1.0, 2.0]), OutsideDisc([1.0, 1.0], 1.5), MaxStep(0.2)],
    ids=["box", "disc", "step"],
)
def test_a_projected_policy_satisfies_its_constraint_and_projecting_again_changes_nothing(
    onto: object,
) -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=6)["obs"]
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    edit = Projection(onto)  # type: ignore[arg-type]
    chunk = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
    assert not torch.allclose(plain, chunk, atol=0.05)
    torch.testing.assert_close(onto(chunk, obs), chunk, rtol=0, atol=1e-5)  # type: ignore[operator]
    twice = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit, edit])
    torch.testing.assert_close(twice, chunk, rtol=0, atol=1e-5)


def test_a_bad_quantile_is_named() -> None:
    with pytest.raises(PolicyError, match="quantile"):
        DynamicClamp(quantile=0.0)

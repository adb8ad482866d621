"""Sets of chunks: their projections are nearest points, and stay where they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kinoise.policy.guidance import Ball, Box, Intersection, MaxStep, OutsideDisc
from kinoise.policy.guidance.sets import ConstraintSet

SETS: dict[str, ConstraintSet] = {
    "box": Box([-0.5, -1.0], [0.5, 0.2]),
    "ball": Ball([0.3, -0.2], 0.7),
    "outside disc": OutsideDisc([0.3, -0.2], 0.9),
    "max step": MaxStep(0.3),
    "max step from a start": MaxStep([0.2, 0.4], start=[0.1, 0.1], first=2),
    "box and ball": Intersection([Box([-0.5, -1.0], [0.5, 0.2]), Ball([0.3, -0.2], 0.7)]),
}
EVERY_SET = pytest.mark.parametrize("onto", SETS.values(), ids=SETS.keys())


def _chunks(seed: int = 0, size: int = 5, horizon: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1.5 * torch.randn(size, horizon, 2, generator=generator)


@EVERY_SET
@pytest.mark.parametrize("seed", range(5))
def test_projecting_twice_is_projecting_once(onto: ConstraintSet, seed: int) -> None:
    chunks = _chunks(seed)
    once = onto(chunks, {})
    assert not torch.equal(once, chunks)
    torch.testing.assert_close(onto(once, {}), once, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["box", "ball", "outside disc", "max step"])
def test_a_point_of_the_set_stays_bitwise(name: str) -> None:
    once = SETS[name](_chunks(), {})
    assert torch.equal(SETS[name](once, {}), once)


@EVERY_SET
def test_rows_do_not_know_of_each_other(onto: ConstraintSet) -> None:
    chunks = _chunks()
    torch.testing.assert_close(onto(chunks[2:3], {}), onto(chunks, {})[2:3], rtol=0, atol=1e-4)


@EVERY_SET
def test_gradients_pass_and_are_finite(onto: ConstraintSet) -> None:
    chunks = _chunks().requires_grad_()
    (gradient,) = torch.autograd.grad(onto(chunks, {}).sum(), chunks)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def _nearest(chunk: Tensor, constraints: list[dict[str, Any]]) -> Tensor:
    """The projection by a general solver, of one chunk `[H, Da]` in float64."""
    optimize = pytest.importorskip("scipy.optimize")
    target = chunk.double().flatten().numpy()
    found = optimize.minimize(
        lambda x: 0.5 * ((x - target) ** 2).sum(),
        target * 0,
        jac=lambda x: x - target,
        method="SLSQP",
        constraints=constraints,
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return torch.from_numpy(found.x).reshape(chunk.shape)


@pytest.mark.parametrize("start", [None, [0.1, 0.1]])
def test_the_largest_step_is_kept_by_the_nearest_chunk(start: list[float] | None) -> None:
    chunk, step = _chunks(3, size=1).double(), 0.3
    onto = MaxStep(step, start=start, n_cycles=5000)

    def slack(x: Any) -> Any:
        path = torch.from_numpy(x).reshape(8, 2)
        if start is not None:
            path = torch.cat([torch.tensor([start]).to(path), path])
        ways = path.diff(dim=0).flatten()
        return torch.cat([step - ways, step + ways]).numpy()

    exact = _nearest(chunk[0], [{"type": "ineq", "fun": slack}])
    assert (onto(chunk, {})[0] - exact).abs().max() < 1e-3
    usual = MaxStep(step, start=start)(chunk, {})[0]
    assert (usual.diff(dim=0).abs() <= step).all()
    assert (usual - exact).abs().max() < 1e-2


def test_an_intersection_is_projected_on_exactly() -> None:
    chunk = _chunks(3, size=1, horizon=1).double()

    def slack(x: Any) -> Any:
        point = torch.from_numpy(x)
        ball = 0.49 - (point - torch.tensor([0.3, -0.2])).square().sum()
        box = torch.stack([point[0] + 0.5, 0.5 - point[0], point[1] + 1.0, 0.2 - point[1]])
        return torch.cat([ball[None], box]).numpy()

    exact = _nearest(chunk[0], [{"type": "ineq", "fun": slack}])
    assert (SETS["box and ball"](chunk, {})[0] - exact).abs().max() < 1e-4


def test_points_go_straight_to_the_rim() -> None:
    centre = torch.tensor([0.3, -0.2])
    chunks = _chunks()
    moved = OutsideDisc(centre.tolist(), 0.9)(chunks, {})
    before, after = chunks - centre, moved - centre
    assert (after.norm(dim=-1) >= 0.9).all()
    inside = before.norm(dim=-1) < 0.9
    assert inside.any()
    assert torch.equal(moved[~inside], chunks[~inside])
    torch.testing.assert_close(
        torch.nn.functional.normalize(after[inside], dim=-1),
        torch.nn.functional.normalize(before[inside], dim=-1),
    )
    at_centre = OutsideDisc([0.0, 0.0], 1.0)(torch.zeros(1, 1, 2), {})
    torch.testing.assert_close(at_centre, torch.tensor([[[1.0, 0.0]]]), rtol=0, atol=1e-4)


def test_earlier_actions_are_not_bound() -> None:
    chunks = _chunks()
    moved = SETS["max step from a start"](chunks, {})
    assert torch.equal(moved[:, :2], chunks[:, :2])
    assert ((moved[:, 2] - 0.1).abs() <= torch.tensor([0.2, 0.4]) + 1e-6).all()


def test_parameters_may_be_observed() -> None:
    chunks = _chunks(size=2)
    centres, radii = torch.tensor([[0.0, 0.0], [5.0, 5.0]]), torch.tensor([1.0, 2.0])
    obs = {"centre": centres[:, None], "radius": radii[:, None, None]}
    together = OutsideDisc("centre", "radius")(chunks, obs)
    torch.testing.assert_close(OutsideDisc(centres, radii)(chunks, {}), together)
    for i in range(2):
        alone = OutsideDisc(centres[i].tolist(), float(radii[i]))(chunks[i : i + 1], {})
        torch.testing.assert_close(together[i : i + 1], alone)

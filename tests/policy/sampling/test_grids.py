"""Grids: within every path, decreasing, and where their formulas say."""

from __future__ import annotations

import math

import pytest
import torch
from registry import every_path

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path, VEGeometric
from kinoise.policy.sampling.grids import (
    Cosine,
    Explicit,
    Grid,
    Karras,
    Polynomial,
    Shifted,
    UniformLogSNR,
    UniformTime,
)

GRIDS: list[Grid] = [
    UniformTime(),
    Polynomial(),
    Polynomial(0.5),
    Cosine(),
    Cosine(0.5),
    Karras(),
    UniformLogSNR(),
    Shifted(UniformTime()),
    Shifted(Karras(), 0.5),
    UniformTime(0.9),
    Polynomial(3.0, 0.9),
    Cosine(-1.0, 0.9),
]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
@every_path
def test_grids_decrease_within_the_path(grid: Grid, path: Path) -> None:
    for n in (1, 2, 9, 100):
        t = grid(n, path)
        assert t.shape == (n,)
        assert t.dtype == torch.float64
        assert (t.diff() < 0).all()
        assert 0 < t[-1] <= t[0] <= 1


@pytest.mark.parametrize("grid", [Karras(0.01, 500.0), UniformLogSNR(0.01, 500.0)])
@every_path
def test_a_grid_of_noise_levels_begins_at_its_bound_or_at_the_path_s_end(
    grid: Karras | UniformLogSNR, path: Path
) -> None:
    end = path.angle(torch.ones((), dtype=torch.float64)).tan()
    first, *_, last = path.angle(grid(5, path)).tan().tolist()
    assert first == pytest.approx(min(500.0, float(end)), rel=1e-5)
    assert last == pytest.approx(0.01, rel=1e-5)


def test_log_snr_steps_are_equal_and_karras_s_are_in_their_root() -> None:
    path = LinearFlow()
    ratios = path.angle(UniformLogSNR()(9, path)).tan()
    torch.testing.assert_close(ratios.log().diff(), ratios.log().diff().mean().expand(8))
    roots = path.angle(Karras(rho=5.0)(9, path)).tan() ** (1 / 5)
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(8))


def test_a_polynomial_of_power_one_and_no_sway_are_uniform() -> None:
    path = LinearFlow()
    for grid in (Polynomial(1.0), Cosine(0.0)):
        torch.testing.assert_close(grid(7, path), UniformTime()(7, path))
    swayed = 1 - Cosine()(4, path)
    expected = torch.tensor([1 - math.cos(math.pi / 2 * k / 4) for k in range(4)]).double()
    torch.testing.assert_close(swayed, expected, atol=1e-7, rtol=0)


def test_an_explicit_grid_is_taken_as_it_is_and_for_its_length_alone() -> None:
    path, grid = VEGeometric(), Explicit([1.0, 0.5, 0.2])
    assert grid(3, path).tolist() == [1.0, 0.5, 0.2]
    with pytest.raises(PolicyError, match="has 3 times, n_steps is 4"):
        grid(4, path)

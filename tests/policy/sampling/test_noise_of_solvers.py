"""The noise that solvers draw: exactly what each level lacks, along any path."""

from __future__ import annotations

import pytest
import torch
from registry import PATHS as REGISTERED
from registry import every_path

from kinoise.policy.paths import LinearFlow, Path
from kinoise.policy.sampling.grids import Karras
from kinoise.policy.sampling.registry import compile_table
from kinoise.policy.sampling.sampler import Sampler
from kinoise.policy.sampling.table import RowEstimate, Table, run_table

GRID = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.15], dtype=torch.float64)
EXACT = {
    "ddpm": {},
    "exponential_sde": {},
    "langevin": {},
    "langevin twice": {"steps": 2, "fraction": 0.3},
    "consistency": {},
    "tcd": {},
}


def denoise_at(path: Path, t: torch.Tensor) -> RowEstimate:
    """A made-up network on `path`, smooth in x / length and in the noise angle."""
    angle = path.angle(t)
    length = torch.hypot(path.alpha(t), path.sigma(t))
    return lambda k, x: torch.tanh(1.3 * x / length[k] + angle[k])


def states_without_data(table: Table) -> torch.Tensor:
    """Return the variance of the state before every evaluation if each estimate is zero."""
    draws = torch.cat([table.init[:, None], table.noise], 1)
    return (draws[:-1] ** 2).sum(1)


@every_path
@pytest.mark.parametrize("name", EXACT)
def test_every_state_of_a_point_mass_has_the_noise_of_its_level(path: Path, name: str) -> None:
    """Data at zero: x_t is sigma(t) z, and a solver that keeps marginals keeps that variance."""
    table = compile_table(name.split()[0], GRID, path, **EXACT[name])
    wanted = path.sigma(table.t).detach() ** 2
    torch.testing.assert_close(states_without_data(table), wanted, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("solver", ["ddpm", "exponential_sde", "langevin", "euler_ancestral"])
@pytest.mark.parametrize("along", ["vp_linear", "ve", "edm", "sub_vp"])
def test_the_same_draws_give_the_same_chunk_along_any_path(along: str, solver: str) -> None:
    """Fresh noise too is rescaled when a table is carried to another path."""
    path, other = REGISTERED["linear_flow"], REGISTERED[along]
    grid = Karras(sigma_min=0.02, sigma_max=30.0)
    own = Sampler(solver, 6, grid).table(path)
    across = Sampler(solver, 6, grid, path=other).table(path)
    assert own.n_noises == across.n_noises > 0
    noises = torch.randn(
        1 + own.n_noises, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    chunks = [run_table(table, denoise_at(path, table.t), noises) for table in (own, across)]
    torch.testing.assert_close(*chunks, rtol=0, atol=1e-6)


def test_every_noise_of_a_table_is_a_draw_of_its_own() -> None:
    table = compile_table("langevin", GRID, LinearFlow())
    noises = torch.randn(1 + table.n_noises, 2, 1, 1, dtype=torch.float64)
    shown: list[torch.Tensor] = []

    def nothing(k: int, x: torch.Tensor) -> torch.Tensor:
        shown.append(x.clone())
        return torch.zeros_like(x)

    run_table(table, nothing, noises)
    for k, x in enumerate(shown):
        weights = torch.cat([table.init[k : k + 1], table.noise[k]])
        torch.testing.assert_close(x, torch.tensordot(weights, noises, 1))


def test_euler_on_straight_lines_is_the_step_of_flow_matching() -> None:
    own, flow = (compile_table(name, GRID, LinearFlow()) for name in ("euler", "flow_euler"))
    for mine, theirs in zip(own.tensors().values(), flow.tensors().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)

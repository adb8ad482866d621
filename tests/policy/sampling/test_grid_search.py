"""The search for a table's best grid, on a mixture whose denoiser is exact."""

from __future__ import annotations

import pytest
import torch
from oracles import TWO_MODES, fine_ode, walk
from registry import PATHS
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import Path
from kinoise.policy.sampling.grid_search import fine_solution, search_grid, standard_grids
from kinoise.policy.sampling.grids import Grid
from kinoise.policy.sampling.registry import compile_table


def _noise(n: int, seed: int) -> Tensor:
    """Noises `[M, H, Da]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, 1, generator=generator, dtype=torch.float64)


def _error(path: Path, solver: str, n: int, grid: Grid, noise: Tensor, goal: Tensor) -> float:
    table = compile_table(solver, grid(n, path), path)
    chunk = walk(table, TWO_MODES.denoiser(path), noise.flatten()[None])
    return float((chunk - goal.flatten()).square().mean())


@pytest.mark.parametrize(
    ("along", "solver", "n"),
    [("linear_flow", "dpmpp_2m", 5), ("vp_linear", "unipc", 4), ("edm", "heun", 3)],
)
def test_the_grid_found_beats_every_other_on_noise_not_seen(
    along: str, solver: str, n: int
) -> None:
    path = PATHS[along]
    denoise = TWO_MODES.denoiser(path)
    found = search_grid(denoise, path, n, _noise(64, 0), solver=solver, n_tables=200)
    assert found.error < 0.75 * min(found.errors.values())
    fresh = _noise(256, 1)
    goal = fine_solution(denoise, path, fresh)
    error = _error(path, solver, n, found.grid, fresh, goal)
    others = standard_grids(1.0).values()
    assert error < min(_error(path, solver, n, other, fresh, goal) for other in others)


@pytest.mark.parametrize("along", ["linear_flow", "ve"])
def test_the_fine_solution_is_that_of_the_ode(along: str) -> None:
    path, noise = PATHS[along], _noise(16, 2)
    denoise, start = TWO_MODES.denoiser(path), 0.999
    begin = path.sigma(torch.tensor(start, dtype=torch.float64)) * noise.flatten()
    stop = float(path.time_at(torch.tensor(1e-3, dtype=torch.float64).atan()))
    exact = fine_ode(path, denoise, begin, start, stop)
    exact = denoise(exact, torch.tensor(stop, dtype=torch.float64))
    torch.testing.assert_close(
        fine_solution(denoise, path, noise, start).flatten(), exact, atol=1e-4, rtol=0
    )


def test_a_search_keeps_to_the_time_it_may_start_at_and_to_its_reference() -> None:
    path, noise = PATHS["vp_cosine"], _noise(8, 3)
    denoise = TWO_MODES.denoiser(path)
    found = search_grid(denoise, path, 3, noise, start=0.9, n_tables=30, solver="ddim")
    assert found.grid.times[0] <= 0.9
    assert found.n_tables <= 40
    one = search_grid(denoise, path, 1, noise, reference=torch.zeros_like(noise))
    assert len(one.grid.times) == 1
    assert one.error == min(one.errors.values())


def test_a_solver_that_draws_noise_cannot_be_searched_for() -> None:
    path = PATHS["linear_flow"]
    with pytest.raises(PolicyError, match="draws noise"):
        search_grid(TWO_MODES.denoiser(path), path, 3, _noise(2, 0), solver="ddpm")

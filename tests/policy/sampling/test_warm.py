"""A warm start: what the table begins with, what it saves, and where it cannot be."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import PATHS, LinearFlow, Path
from kinoise.policy.sampling import Sampler, run_table
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.sampling.warm import n_skipped, run_from


def _noises(table: object, batch: int = 3) -> Tensor:
    n = 1 + table.n_noises  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, batch, 4, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("path", ["linear_flow", "vp_cosine", "ve", "trigonometric"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m", "heun", "exponential"])
def test_the_first_state_is_the_known_chunk_noised_to_its_time(path: str, solver: str) -> None:
    """SDEdit's start, whatever the solver: a solver is exact where the estimate is constant."""
    along = PATHS[path]()
    table = Sampler(solver, 10, UniformTime(0.98)).table(along)
    noises = _noises(table)
    known = torch.linspace(-1, 1, 24, dtype=torch.float64).view(3, 4, 2)
    states: list[tuple[int, Tensor]] = []

    def estimate(k: int, x: Tensor) -> Tensor:
        states.append((k, x.clone()))
        return known

    run_from(table, estimate, noises, known=known, start=0.5)
    k, first = states[0]
    assert k == n_skipped(table, 0.5) > 0
    t = table.t[k]
    # The initial noise at the table's own start, whose own signal is that of plain sampling.
    ends = table.t[0]
    eps = (table.init[0] * noises[0] - along.alpha(ends) * known) / along.sigma(ends)
    expected = along.alpha(t) * known + along.sigma(t) * eps
    torch.testing.assert_close(first, expected, rtol=0, atol=_tolerance(along, solver))


def _tolerance(path: Path, solver: str) -> float:
    return 1e-6 * float(path.length(path.angle(torch.ones((), dtype=torch.float64))))


def test_a_point_mass_comes_back_from_any_start() -> None:
    table = Sampler("dpmpp_2m", 10, UniformTime(0.98)).table(PATHS["vp_cosine"]())
    point = torch.full((3, 4, 2), 0.4, dtype=torch.float64)
    for start in (0.15, 0.5, 0.9):
        wrong = point - 1.0
        chunk = run_from(table, lambda k, x: point, _noises(table), known=wrong, start=start)
        assert float((chunk - point).abs().max()) < 1e-6


def test_from_time_1_it_is_plain_sampling_bit_for_bit() -> None:
    policy = tiny.policy().eval()
    obs = tiny.batch(0, 4)["obs"]
    previous = policy.sample(obs, torch.Generator().manual_seed(1))
    plain = policy.sample(obs, torch.Generator().manual_seed(2))
    warm = policy.sample(obs, torch.Generator().manual_seed(2), previous=previous, start=1.0)
    assert torch.equal(plain, warm)


def test_a_row_without_a_chunk_before_it_is_sampled_from_noise() -> None:
    policy = tiny.policy().eval()
    obs = tiny.batch(0, 4)["obs"]
    previous = policy.sample(obs, torch.Generator().manual_seed(1))
    previous[1] = torch.nan
    plain = policy.sample(obs, torch.Generator().manual_seed(2))
    warm = policy.sample(obs, torch.Generator().manual_seed(2), previous=previous, start=0.5)
    none = policy.sample(obs, torch.Generator().manual_seed(2), start=0.5)
    assert torch.equal(warm[1], plain[1])
    assert not torch.allclose(warm[0], plain[0])
    assert torch.equal(none, plain)


def test_the_evaluations_before_the_start_are_saved() -> None:
    table = Sampler("flow_euler", 10).table(LinearFlow())
    calls: list[int] = []

    def estimate(k: int, x: Tensor) -> Tensor:
        calls.append(k)
        return torch.zeros_like(x)

    known = torch.zeros(3, 4, 2, dtype=torch.float64)
    run_from(table, estimate, _noises(table), known=known, start=0.5)
    assert calls == [5, 6, 7, 8, 9]


def test_without_a_known_chunk_the_table_runs_as_it_is() -> None:
    table = Sampler("ddim", 4, UniformTime(0.98)).table(LinearFlow())
    noises = _noises(table)

    def estimate(k: int, x: Tensor) -> Tensor:
        return 0.5 * x

    warm = run_from(table, estimate, noises, known=None, start=0.5)
    assert torch.equal(warm, run_table(table, estimate, noises))


def test_a_start_after_the_last_evaluation_is_refused() -> None:
    table = Sampler("flow_euler", 4).table(LinearFlow())
    with pytest.raises(PolicyError, match="nothing to compute.*t = 0.25") as caught:
        n_skipped(table, 0.2)
    assert "\n" not in str(caught.value)


def test_a_time_per_token_has_no_one_start() -> None:
    table = Sampler("flow_euler", 4, delay=1.0).table(LinearFlow(), horizon=4)
    with pytest.raises(PolicyError, match="one time a chunk"):
        n_skipped(table, 0.5)


def test_guided_chunks_start_warm_too() -> None:
    policy = tiny.policy().eval()
    obs = tiny.batch(0, 2)["obs"]
    previous = policy.sample(obs, torch.Generator().manual_seed(1))
    draws = [
        policy.sample(
            obs,
            torch.Generator().manual_seed(2),
            guidance=guidance,
            previous=previous,
            start=0.5,
        )
        for guidance in ((), (lambda estimate: estimate.sample,))
    ]
    torch.testing.assert_close(draws[0], draws[1])

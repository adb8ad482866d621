"""Running a table: equal to the definition, cheap to copy, safe to store."""

from __future__ import annotations

import torch
from oracles import walk

from kinoise.policy.paths import LinearFlow, VPCosine
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.sampling.registry import compile_table
from kinoise.policy.sampling.table import Table, run_table


def _estimate(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x + t)


def test_running_a_table_is_its_definition() -> None:
    for name in ("dpmpp_2m", "ddpm", "heun"):
        table = compile_table(name, UniformTime()(6, VPCosine()), VPCosine())
        noises = torch.randn(1 + table.n_noises, 4, 3, 2)
        ran = run_table(table, lambda k, x, t=table.t: _estimate(x, t[k].float()), noises)
        exact = walk(table, _estimate, noises.double().flatten(1))
        torch.testing.assert_close(ran.double().flatten(), exact, rtol=1e-4, atol=1e-5)


def test_rows_of_a_batch_do_not_mix() -> None:
    table = compile_table("unipc", UniformTime()(5, LinearFlow()), LinearFlow())
    noises = torch.randn(1, 3, 4, 2)

    def run(part: torch.Tensor) -> torch.Tensor:
        return run_table(table, lambda k, x: torch.tanh(x), part)

    torch.testing.assert_close(run(noises)[1:2], run(noises[:, 1:2]), rtol=1e-6, atol=1e-6)


def test_a_table_survives_its_tensors() -> None:
    table = compile_table("ddpm", UniformTime()(4, VPCosine()), VPCosine())
    copy = Table(**table.tensors())
    assert all(torch.equal(copy.tensors()[key], value) for key, value in table.tensors().items())


def test_the_estimate_of_a_row_depends_only_on_earlier_ones() -> None:
    table = compile_table("dpmpp_3m", UniformTime()(9, VPCosine()), VPCosine())
    assert torch.equal(table.estimate, table.estimate.tril(-1))


def test_a_truncated_table_stops_at_an_inner_level() -> None:
    table = compile_table("ddpm", UniformTime()(6, VPCosine()), VPCosine())
    part = table.truncated(3)
    assert part.n_evaluations == 3
    assert part.n_noises == 3
    torch.testing.assert_close(part.init[3], table.init[3])


def test_a_truncated_table_returns_the_state_that_the_whole_one_reaches() -> None:
    table = compile_table("ddpm", UniformTime()(6, VPCosine()), VPCosine())
    noises = torch.randn(
        1 + table.n_noises, 2, 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    reached: list[torch.Tensor] = []

    def estimate(k: int, x: torch.Tensor) -> torch.Tensor:
        reached.append(x.clone())
        return torch.tanh(x)

    run_table(table, estimate, noises)
    part = table.truncated(3)
    assert part.estimate.shape == (4, 3)
    stopped = run_table(part, lambda k, x: torch.tanh(x), noises[: 1 + part.n_noises])
    torch.testing.assert_close(stopped, reached[3])

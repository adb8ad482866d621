"""Tables with a time per token: equal tokens change nothing, and turns are what they say."""

from __future__ import annotations

import pytest
import tiny
import torch
from oracles import TWO_MODES
from registry import every_path

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path, VPCosine
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.sampling.registry import compile_table
from kinoise.policy.sampling.sampler import Sampler
from kinoise.policy.sampling.staggered import equal_tokens, staggered
from kinoise.policy.sampling.table import run_table

H = 6


def test_without_delay_the_table_is_the_same_object() -> None:
    path = LinearFlow()
    table = compile_table("ddim", UniformTime()(4, path), path)
    assert staggered(table, path, H, 0.0) is table


@every_path
@pytest.mark.parametrize("solver", ["ddim", "ddpm", "dpmpp_2m"])
def test_each_token_goes_through_the_rows_of_its_own_table(path: Path, solver: str) -> None:
    """Tokens that do not see each other end where they would have ended alone."""
    table = compile_table(solver, UniformTime(0.99)(5, path), path)
    late = staggered(table, path, H, 1.5)
    noises = torch.randn(1 + table.n_noises, 64, H, 1, dtype=torch.float64)
    denoise = TWO_MODES.denoiser(path)
    together = run_table(table, lambda k, x: denoise(x, table.t[k]), noises)
    apart = run_table(late, lambda k, x: denoise(x, late.t[k][:, None, None]), noises)
    torch.testing.assert_close(apart, together, rtol=1e-9, atol=1e-9)
    assert late.n_evaluations == 5 + int(1.5 * (H - 1))


@pytest.mark.parametrize("network", list(tiny.NETWORKS))
def test_a_time_per_token_with_equal_entries_gives_the_same_chunk(network: str) -> None:
    policy = tiny.policy(network).eval()
    obs, noise = tiny.batch(0)["obs"], torch.randn(16, 8, 2)
    shared = policy.transport(obs, noise)
    split = equal_tokens(policy.table, 8)
    policy.set_sampler(split)
    assert torch.equal(policy.transport(obs, noise), shared)
    # The loop over tokens itself agrees too, up to the order of its sums.
    policy.table = split
    policy._forget_rows()
    torch.testing.assert_close(policy.transport(obs, noise), shared, rtol=1e-5, atol=1e-5)


def test_the_sampler_slot_staggers_and_the_near_future_is_clean_first() -> None:
    policy = tiny.policy(
        sampler={
            "_target_": "kinoise.policy.sampling.Sampler",
            "solver": "flow_euler",
            "n_steps": 4,
            "delay": 1,
        }
    ).eval()
    assert policy.table.t.shape == (4 + 7, 8)
    assert (policy.table.t.diff(dim=1) >= 0).all()
    chunk = policy.sample(tiny.batch(0)["obs"])
    assert chunk.shape == (16, 8, 2)
    assert torch.isfinite(chunk).all()
    with pytest.raises(PolicyError, match="one time a chunk"):
        policy.sample(tiny.batch(0)["obs"], guidance=[lambda estimate: estimate.sample])


def test_a_staggered_table_survives_a_checkpoint() -> None:
    path = LinearFlow()
    table = Sampler("ddpm", 3, delay=0.5).table(path, H)
    copy = type(table)(**table.tensors())
    noises = torch.randn(1 + table.n_noises, 2, H, 1)
    again = run_table(copy, lambda k, x: torch.tanh(x), noises)
    torch.testing.assert_close(again, run_table(table, lambda k, x: torch.tanh(x), noises))


def test_a_token_waits_at_the_noise_and_rests_at_the_data() -> None:
    path = VPCosine()
    table = compile_table("ddim", UniformTime(0.98)(3, path), path)
    late = staggered(table, path, H, 1.0)
    # Token 2 waits for two rows, goes through its own three, and is finished for three more.
    first, rest = [float(table.t[0])] * 2, [path.earliest] * 3
    assert late.t[:, 2].tolist() == [*first, *table.t.tolist(), *rest]

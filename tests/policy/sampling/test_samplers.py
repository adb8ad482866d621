"""The sampler slot: along the path of the training or any other."""

from __future__ import annotations

import itertools

import pytest
import torch
from registry import PATHS as REGISTERED
from registry import every_path

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import PATHS, LinearFlow, Path, VEGeometric, VPCosine
from kinoise.policy.sampling.grids import Karras, UniformTime
from kinoise.policy.sampling.sampler import Sampler
from kinoise.policy.sampling.table import run_table

PAIRS = list(itertools.permutations(REGISTERED, 2))


def _denoise_at(path: Path, t: torch.Tensor) -> object:
    """A made-up network on `path`, smooth in x / length and in the noise angle."""
    angle = path.angle(t)
    length = torch.hypot(path.alpha(t), path.sigma(t))
    return lambda k, x: torch.tanh(1.3 * x / length[k] + angle[k])


@pytest.mark.parametrize(("trained", "along"), PAIRS)
@pytest.mark.parametrize("solver", ["ddim", "flow_euler", "dpmpp_2m"])
def test_the_same_noise_and_log_snr_give_the_same_chunk_along_any_path(
    trained: str, along: str, solver: str
) -> None:
    """One network, trained on one path, sampled on its own and along the other."""
    path, other = REGISTERED[trained], REGISTERED[along]
    # Noise levels that both paths have; beyond them there is nothing to match.
    grid = Karras(sigma_min=0.02, sigma_max=30.0)
    own = Sampler(solver, 8, grid).table(path)
    across = Sampler(solver, 8, grid, path=other).table(path)
    torch.testing.assert_close(own.t, across.t, rtol=0, atol=1e-7)
    noise = torch.randn(1, 4, 3, 2, dtype=torch.float64)
    chunks = [run_table(table, _denoise_at(path, table.t), noise) for table in (own, across)]
    assert (chunks[0] - chunks[1]).abs().max() < 1e-6


@every_path
def test_a_path_that_begins_with_more_noise_than_was_trained_on_begins_at_the_most(
    path: Path,
) -> None:
    table = Sampler("ddim", 6, UniformTime(), path="linear_flow").table(path)
    assert table.t[0] == pytest.approx(1.0, abs=1e-6)
    assert (table.t.diff() < 0).all()


def test_another_path_places_the_steps_elsewhere() -> None:
    own = Sampler("ddim", 5).table(LinearFlow())
    across = Sampler("ddim", 5, path=VPCosine()).table(LinearFlow())
    assert (own.t - across.t).abs().max() > 0.01


def test_every_gaussian_path_may_be_asked_for_by_name() -> None:
    """A learned path has no settings of its own, and a base belongs to a training."""
    assert set(PATHS) == set(REGISTERED) - {"learned_gamma", "previous_chunk"}
    for name, make in PATHS.items():
        assert make() == REGISTERED[name]


def test_an_unknown_path_suggests_the_nearest() -> None:
    with pytest.raises(PolicyError, match="did you mean 'vp_cosine'"):
        Sampler("ddim", 5, path="vp_cosin").table(LinearFlow())


def test_a_path_trained_with_little_noise_is_never_asked_for_more() -> None:
    """Noise to signal of 2 at most, where a linear flow has any: it begins at t = 2/3."""
    path = VEGeometric(sigma_max=2.0)
    table = Sampler("ddim", 6, UniformTime(), path="linear_flow").table(path)
    assert (table.t.diff() < 0).all()
    ratios = path.sigma(table.t) / path.alpha(table.t)
    times = torch.linspace(2 / 3, 1 / 9, 6, dtype=torch.float64)
    torch.testing.assert_close(ratios, times / (1 - times), rtol=1e-4, atol=0)

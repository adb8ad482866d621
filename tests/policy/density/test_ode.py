from __future__ import annotations

import sys
from itertools import pairwise

import pytest
import torch
from oracles import TWO_MODES, fine_ode, walk
from registry import PATHS, every_path

from kinoise.policy.density.ode import ProbabilityFlow, reference_chunk
from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path
from kinoise.policy.sampling.sampler import Sampler

ONE = torch.ones((), dtype=torch.float64)
POINTS = torch.linspace(-1.6, 1.6, 9, dtype=torch.float64)


def flow_of(path: Path, floor: float = 1e-3) -> ProbabilityFlow:
    return ProbabilityFlow(path, TWO_MODES.denoiser(path), floor)


@every_path
def test_data_go_to_noise_and_come_back(path: Path) -> None:
    flow = flow_of(path)
    there = flow.to_noise(POINTS)
    assert there.isfinite().all()
    assert (flow.to_data(there) - POINTS).abs().max() < 1e-6


@every_path
def test_the_flow_keeps_every_quantile(path: Path) -> None:
    """On a line, the ODE maps the q-quantile of the data to that of the noisy marginal."""

    def share_below(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        variance = (path.alpha(t) * TWO_MODES.stds) ** 2 + path.sigma(t) ** 2
        z = (x[:, None] - path.alpha(t) * TWO_MODES.means) / variance.sqrt()
        return torch.special.ndtr(z) @ TWO_MODES.weights

    before = share_below(POINTS, 0 * ONE)
    after = share_below(flow_of(path).to_noise(POINTS), ONE)
    assert (after - before).abs().max() < 1e-5


@every_path
def test_the_adaptive_solver_agrees_with_rk4(path: Path) -> None:
    flow = flow_of(path)
    noise = flow.to_noise(POINTS)
    unit = path.sigma(ONE)
    assert ((flow.to_noise(POINTS, tolerance=1e-6) - noise) / unit).abs().max() < 1e-4
    assert (flow.to_data(noise, tolerance=1e-6) - POINTS).abs().max() < 1e-4


def test_rk4_is_of_fourth_order() -> None:
    flow = flow_of(LinearFlow())
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    exact = flow.to_data(noise, 640)
    errors = [(flow.to_data(noise, n) - exact).abs().max() for n in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert 3.7 < torch.log2(coarse / fine) < 4.7


@pytest.mark.parametrize("name", ["linear_flow", "vp_cosine", "edm"])
def test_the_reference_is_what_samplers_converge_to(name: str) -> None:
    path, denoise = PATHS[name], TWO_MODES.denoiser(PATHS[name])
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    reference = reference_chunk(path, denoise, noise)
    assert (reference_chunk(path, denoise, noise, tolerance=1e-7) - reference).abs().max() < 1e-5
    table = Sampler("ddim", 100).table(path)
    assert (walk(table, denoise, noise[None]) - reference).abs().max() < 0.05


def test_the_reference_agrees_with_an_integration_in_log_snr() -> None:
    path, denoise = PATHS["vp_linear"], TWO_MODES.denoiser(PATHS["vp_linear"])
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    start = noise * path.sigma(ONE)
    late = float(path.time_at(torch.tensor(1e-3, dtype=torch.float64)))
    other = fine_ode(path, denoise, start, 1.0, late)
    other = denoise(other, torch.tensor(late, dtype=torch.float64))
    assert (reference_chunk(path, denoise, noise) - other).abs().max() < 1e-8


def test_a_missing_solver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(PolicyError, match=r"pip install 'kinoise\[theory\]'"):
        flow_of(LinearFlow()).to_noise(POINTS, tolerance=1e-6)

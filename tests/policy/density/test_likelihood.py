from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import tiny
import torch
from oracles import TWO_MODES, Denoiser, Mixture
from registry import every_path
from torch import Tensor

from kinoise.policy.density.likelihood import (
    chunk_log_likelihood,
    exact_trace,
    hutchinson_trace,
    log_likelihood,
    log_likelihood_adaptive,
    rademacher,
)
from kinoise.policy.density.ode import ProbabilityFlow
from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path

ONE = torch.ones((), dtype=torch.float64)
POINTS = torch.linspace(-1.8, 1.8, 13, dtype=torch.float64)[:, None]


def log_density(mixture: Mixture, path: Path, x: Tensor, t: Tensor) -> Tensor:
    return mixture.log_density(path, x[:, 0], t) - 0.5 * math.log(2 * math.pi)


def blurred(flow: ProbabilityFlow) -> Mixture:
    """Return the mixture with the noise at the flow's start added."""
    noise = torch.tensor(math.tan(math.exp(flow.ends[0])), dtype=torch.float64)
    return Mixture(TWO_MODES.weights, TWO_MODES.means, torch.hypot(TWO_MODES.stds, noise))


@dataclass(frozen=True)
class Normal:
    """A Gaussian with mean `[D]` and a full covariance `[D, D]`, shown as chunks `[B, H, Da]`."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def drawn(entries: int) -> Normal:
        generator = torch.Generator().manual_seed(0)
        root = torch.randn(entries, entries, generator=generator, dtype=torch.float64)
        mean = torch.randn(entries, generator=generator, dtype=torch.float64)
        identity = torch.eye(entries, dtype=torch.float64)
        return Normal(0.3 * mean, 0.02 * root @ root.T + 0.01 * identity)

    def draw(self, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(n, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mean + noise @ torch.linalg.cholesky(self.covariance).T

    def denoiser(self, path: Path) -> Denoiser:
        identity = torch.eye(len(self.mean), dtype=torch.float64)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = path.alpha(t), path.sigma(t)
            noisy = alpha**2 * self.covariance + sigma**2 * identity
            gain = alpha * self.covariance @ torch.linalg.inv(noisy)
            return (self.mean + (x.flatten(1) - alpha * self.mean) @ gain).view(x.shape)

        return denoise

    def log_density_from_noise(self, flow: ProbabilityFlow, x: Tensor) -> Tensor:
        """Return log p(x) of what the flow makes of N(0, sigma(1)^2), which is not quite `self`.

        The flow keeps (y - m) / deviation along every axis of the covariance.
        """
        variance, axes = torch.linalg.eigh(self.covariance)
        spread = (variance + math.tan(math.exp(flow.ends[0])) ** 2).sqrt()
        alpha, sigma = flow.path.alpha(ONE), flow.path.sigma(ONE)
        end = (alpha**2 * variance + sigma**2).sqrt()
        mean = (axes.T @ self.mean) * (1 - alpha * spread / end)
        normal = torch.distributions.Normal(mean, spread * sigma / end)
        return normal.log_prob(x.flatten(1) @ axes).sum(1)


@every_path
def test_it_is_the_known_density_of_a_mixture(path: Path) -> None:
    flow = ProbabilityFlow(path, TWO_MODES.denoiser(path))
    found = log_likelihood(flow, POINTS, prior=lambda x: log_density(TWO_MODES, path, x, ONE))
    exact = log_density(blurred(flow), LinearFlow(), POINTS, 0 * ONE)
    assert (found - exact).abs().max() < 1e-4


@every_path
def test_the_blur_does_not_show_where_the_density_is_smooth(path: Path) -> None:
    flow = ProbabilityFlow(path, TWO_MODES.denoiser(path))
    drawn = TWO_MODES.draw(40, torch.Generator().manual_seed(0))[:, None]
    found = log_likelihood(flow, drawn, prior=lambda x: log_density(TWO_MODES, path, x, ONE))
    assert (found - log_density(TWO_MODES, LinearFlow(), drawn, 0 * ONE)).abs().max() < 1e-4


@every_path
def test_it_is_the_known_density_of_a_correlated_normal(path: Path) -> None:
    normal = Normal.drawn(12)
    flow = ProbabilityFlow(path, normal.denoiser(path))
    chunks = normal.draw(8).view(8, 4, 3)
    exact = normal.log_density_from_noise(flow, chunks)
    assert (log_likelihood(flow, chunks) - exact).abs().max() < 1e-4


def test_hutchinson_is_unbiased_within_its_standard_error() -> None:
    path, normal = LinearFlow(), Normal.drawn(12)
    flow = ProbabilityFlow(path, normal.denoiser(path))
    one = normal.draw(1).view(1, 4, 3).expand(4000, -1, -1)
    probes = rademacher((1, *one.shape), torch.Generator().manual_seed(1)).double()
    found = log_likelihood(flow, one, hutchinson_trace(probes), n_steps=40)
    error = found.std() / math.sqrt(len(found))
    assert (found.mean() - log_likelihood(flow, one[:1], n_steps=40)).abs() < 3 * error
    assert error < 0.1


@every_path
def test_the_adaptive_solver_agrees(path: Path) -> None:
    flow = ProbabilityFlow(path, TWO_MODES.denoiser(path))
    adaptive = log_likelihood_adaptive(flow, POINTS[::4], tolerance=1e-6)
    assert (adaptive - log_likelihood(flow, POINTS[::4])).abs().max() < 1e-4


def test_averaging_probes_brings_the_trace_closer() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(24, 24, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 8, 3, generator=generator, dtype=torch.float64)

    def linear(x: Tensor) -> Tensor:
        return (x.flatten(1) @ matrix.T).view(x.shape)

    assert torch.allclose(exact_trace(linear, x), matrix.trace().expand(3))
    probes = rademacher((4000, *x.shape), generator).double()
    estimate = hutchinson_trace(probes)(linear, x)
    # Var = sum over i < j of (m_ij + m_ji)^2 for signs.
    off = (matrix + matrix.T).triu(1)
    error = (off.square().sum() / 4000).sqrt()
    assert ((estimate - matrix.trace()) / error).abs().max() < 4


@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_the_trace_is_that_of_every_network_s_jacobian(network: str) -> None:
    policy = tiny.policy(network).double()
    obs = {key: value.double() for key, value in tiny.batch(0, 2)["obs"].items()}
    x = torch.randn(2, 8, 2, dtype=torch.float64)
    with torch.no_grad():
        estimate = policy.estimator(obs)
    t = torch.tensor(0.3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: estimate(x, t).flatten(1).sum(0), x)
    rows = jacobian.flatten(2).transpose(0, 1)  # d out_i / d x_bj, `[B, D, D]`
    expected = rows.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(exact_trace(lambda x: estimate(x, t), x), expected, atol=1e-10)


def test_any_network_s_density_integrates_to_one() -> None:
    policy = tiny.policy(horizon=1, action_dim=1, n_obs_steps=1, n_action_steps=1)
    obs = {key: value[:1, :1] for key, value in tiny.batch(0, 1)["obs"].items()}
    grid = torch.linspace(-30, 32, 3000)
    many = {key: value.expand(len(grid), *value.shape[1:]) for key, value in obs.items()}
    density = chunk_log_likelihood(policy, many, grid.view(-1, 1, 1)).exp()
    assert torch.trapezoid(density, grid) == pytest.approx(1.0, abs=2e-3)


def test_it_is_in_the_units_of_the_data() -> None:
    """Metres in place of millimetres: the density grows by 1000 for every number."""
    policy, batch = tiny.policy(), tiny.batch(0, 3)
    before = chunk_log_likelihood(policy, batch["obs"], batch["action"], n_steps=12)
    normalizer = policy.normalizer
    centre, scale = (
        normalizer.get_buffer(f"{name}:action").clone() for name in ("centre", "scale")
    )
    normalizer.assign("action", centre / 1000, scale / 1000)
    after = chunk_log_likelihood(policy, batch["obs"], batch["action"] / 1000, n_steps=12)
    assert torch.allclose(after - before, torch.tensor(16 * math.log(1000.0)), atol=2e-3)


def test_a_constant_dimension_adds_a_bounded_constant() -> None:
    path, spread = LinearFlow(), 0.4

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = path.alpha(t), path.sigma(t)
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return x * torch.tensor([1.0, 0.0], dtype=torch.float64) * gain

    flow = ProbabilityFlow(path, denoise)
    found = log_likelihood(flow, torch.tensor([[0.3, 0.0]], dtype=torch.float64))
    normal = torch.distributions.Normal(0.0, math.hypot(spread, math.tan(1e-3)))
    spike = -math.log(math.tan(1e-3)) - 0.5 * math.log(2 * math.pi)
    assert float(found) == pytest.approx(
        float(normal.log_prob(torch.tensor(0.3))) + spike, abs=1e-4
    )


def test_hutchinson_s_estimate_repeats_with_its_generator() -> None:
    policy, batch = tiny.policy(), tiny.batch(0, 3)

    def found(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return chunk_log_likelihood(
            policy, batch["obs"], batch["action"], 12, "hutchinson", generator, n_probes=2
        )

    assert torch.equal(found(0), found(0))
    assert not torch.equal(found(0), found(1))
    exact = chunk_log_likelihood(policy, batch["obs"], batch["action"], 12)
    assert torch.allclose(found(0), exact, rtol=0.2)


def test_a_policy_that_predicts_noise_has_a_density_where_its_sampler_starts() -> None:
    changes = {
        "objective": {
            "_target_": "kinoise.policy.training.objectives.Denoising",
            "target": "epsilon",
        },
        "sampler": {
            "_target_": "kinoise.policy.sampling.Sampler",
            "solver": "ddim",
            "n_steps": 4,
            "grid": {"_target_": "kinoise.policy.sampling.grids.UniformTime", "start": 0.999},
        },
    }
    policy, batch = tiny.policy(**changes), tiny.batch(0, 3)
    assert chunk_log_likelihood(policy, batch["obs"], batch["action"], 20).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"divergence": "exat"}, "did you mean 'exact'"),
        ({"n_steps": 3}, "n_steps >= 9; got 3"),
        ({"actions": torch.zeros(3, 5, 2)}, r"\[5, 2\].*\[8, 2\]"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, object], line: str) -> None:
    policy, batch = tiny.policy(), tiny.batch(0, 3)
    with pytest.raises(PolicyError, match=line):
        chunk_log_likelihood(policy, batch["obs"], **{"actions": batch["action"], **arguments})

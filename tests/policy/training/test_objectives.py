"""The losses: their minimum, their weights, their mask, and the likelihood they bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from oracles import TWO_MODES
from registry import PATHS, every_path, every_target
from torch import Tensor, nn

from kinoise.policy.denoiser import Denoiser, per_token
from kinoise.policy.errors import PolicyError
from kinoise.policy.networks import Backbone
from kinoise.policy.paths import LearnedGamma, LinearFlow, Path, VPCosine, VPLinear
from kinoise.policy.targets import TARGETS, frame
from kinoise.policy.training.objectives import (
    Denoising,
    Objective,
    SlicedScoreMatching,
    TrainingBatch,
    VariationalBound,
)
from kinoise.policy.training.times import (
    LogitNormal,
    LogNormal,
    PerToken,
    TimeDistribution,
    Uniform,
)
from kinoise.policy.training.weights import SNR


class Function(Backbone):
    """A network that is a function of (x, t), for oracles."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.dtype = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def times(self, t: Tensor) -> Tensor:
        return t

    def condition(self, cond: Tensor) -> Tensor:
        return cond

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        return self.function(x, times)


def loss_of(
    objective: Objective,
    network: Callable[[Tensor, Tensor], Tensor],
    path: Path,
    sample: Tensor,
    generator: torch.Generator | None = None,
    **batch: Any,
) -> Tensor:
    """Return the loss of a network that is a function and sees the state as it is."""

    def unscaled(x: Tensor, t: Tensor) -> Tensor:
        scale = path.input_scale(t)
        return network(x if scale is None else x / per_token(scale), t)

    denoiser = Denoiser(Function(unscaled), path, objective.target)
    return objective.loss(denoiser, TrainingBatch(sample, sample[:, :0], **batch), generator)


CHUNK = torch.full((4096, 3, 2), 0.4, dtype=torch.float64)


def _perfect(target: str, path: Path, value: float = 0.4) -> object:
    """Return the network that knows the data are all `value`."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        level = frame(target, path, t.reshape(len(x), -1, 1))
        noise = (x - level.alpha * value) / level.sigma
        return level.target(torch.full_like(x, value), noise)

    return network


@every_target
@every_path
@pytest.mark.parametrize("times", [Uniform(), PerToken(Uniform())])
def test_a_perfect_network_has_no_loss(target: str, path: Path, times: TimeDistribution) -> None:
    generator = torch.Generator().manual_seed(0)
    loss = loss_of(Denoising(target, times), _perfect(target, path), path, CHUNK, generator)
    assert loss < 1e-10


class AtTheData(TimeDistribution):
    """Draws only t = 0, where there is no noise to speak of."""

    def quantile(self, u: Tensor, path: Path) -> Tensor:
        return torch.zeros_like(u)


@every_target
@every_path
def test_the_loss_is_finite_even_where_the_path_has_no_noise(target: str, path: Path) -> None:
    chunk = CHUNK.float()
    loss = loss_of(Denoising(target, AtTheData()), lambda x, t: torch.zeros_like(x), path, chunk)
    assert torch.isfinite(loss)


@every_path
def test_with_the_snr_weight_every_target_has_the_epsilon_loss(path: Path) -> None:
    def loss(target: str, weight: SNR | None) -> Tensor:
        def network(x: Tensor, t: Tensor) -> Tensor:
            # A constant guess of x_0, said in the words of the target.
            level = frame(target, path, t[:, None, None])
            guess = torch.zeros_like(x)
            return level.target(guess, (x - level.alpha * guess) / level.sigma)

        generator = torch.Generator().manual_seed(0)
        return loss_of(Denoising(target, LogitNormal(), weight), network, path, CHUNK, generator)

    plain = loss("epsilon", None)
    for target in TARGETS:
        torch.testing.assert_close(loss(target, SNR(1e12)), plain, rtol=1e-6, atol=0)


def test_masked_tokens_do_not_count() -> None:
    mask = torch.ones(64, 3, dtype=torch.bool)
    mask[:, 2] = False
    chunk = torch.randn(64, 3, 2)
    spoiled = chunk.clone()
    spoiled[:, 2] = 1e6

    def loss(sample: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        network = lambda x, t: torch.zeros_like(x)  # noqa: E731
        return loss_of(Denoising(), network, LinearFlow(), sample, generator, mask=mask)

    assert loss(chunk) == loss(spoiled)


@every_path
@pytest.mark.parametrize("times", [Uniform(), LogNormal(-1.0, 1.5)], ids=["uniform", "log_normal"])
def test_the_variational_bound_of_the_exact_denoiser_is_the_entropy_of_the_data(
    path: Path, times: TimeDistribution
) -> None:
    """Kingma et al. 2021: in continuous time the bound is tight but for its ends, on any path.

    Whatever the times: their density is divided out.
    """
    generator = torch.Generator().manual_seed(0)
    # A learned path searches for its times, which takes long.
    size = 2**18 if isinstance(path, LearnedGamma) else 2**20
    data = TWO_MODES.draw(size, generator).reshape(-1, 1, 1)
    denoise = TWO_MODES.denoiser(path)
    network = lambda x, t: denoise(x, t[:, None, None, None])  # noqa: E731
    earliest = float(path.time_at(torch.tensor(0.03, dtype=torch.float64)))
    bits = loss_of(VariationalBound("sample", times, earliest), network, path, data, generator)
    assert bits == pytest.approx(_entropy_bits(), abs=0.04)


def test_importance_sampled_times_make_the_bounds_estimate_steadier() -> None:
    generator = torch.Generator().manual_seed(0)
    data = TWO_MODES.draw(256, generator).reshape(-1, 1, 1)

    def nothing(x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def spread(times: TimeDistribution) -> Tensor:
        objective = VariationalBound("v_prediction", times, earliest=0.03)
        draws = [loss_of(objective, nothing, VPLinear(), data, generator) for _ in range(100)]
        return torch.stack(draws).std()

    assert spread(LogNormal(-1.0, 1.0)) < 0.5 * spread(Uniform())


def test_gamma_learns_to_reduce_the_variance_of_the_bound_and_not_its_mean() -> None:
    path = LearnedGamma(gamma_min=-8.0, gamma_max=8.0).double()
    optimizer = torch.optim.Adam(path.parameters(), 3e-2)
    objective = VariationalBound("sample", earliest=1e-3)

    def spread() -> tuple[float, float]:
        """Mean and deviation, over draws of t alone, of the bound's diffusion part."""
        with torch.no_grad():
            t = torch.linspace(1e-3, 1, 400, dtype=torch.float64)[:, None]
            data = TWO_MODES.draw(4000, torch.Generator().manual_seed(2))
            noise = torch.randn(4000, generator=torch.Generator().manual_seed(3)).double()
            x = path.alpha(t) * data + path.sigma(t) * noise
            error = (TWO_MODES.denoiser(path)(x, t[..., None]) - data) ** 2
            losses = -path.log_snr_rate(t)[:, 0] * torch.exp(2 * path.log_snr(t))[:, 0]
            losses = losses * error.mean(1)
            return float(losses.mean()), float(losses.std())

    before = spread()
    for step in range(150):
        generator = torch.Generator().manual_seed(step)
        data = TWO_MODES.draw(512, generator).reshape(-1, 1, 1)
        denoise = TWO_MODES.denoiser(path)
        network = lambda x, t: denoise(x, t[:, None, None, None])  # noqa: B023, E731
        loss_of(objective, network, path, data, generator).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = spread()
    assert after[0] == pytest.approx(before[0], rel=0.02)
    assert after[1] < 0.6 * before[1]


@pytest.mark.parametrize("path", [VPLinear(), VPCosine(), PATHS["ve"]])
def test_sliced_and_denoising_score_matching_agree_on_where_the_minimum_is(path: Path) -> None:
    """The gradient of both vanishes at the exact score and points back to it nearby."""
    objective = SlicedScoreMatching("score", earliest=0.05)
    generator = torch.Generator().manual_seed(0)
    data = 0.3 + 0.5 * torch.randn(2**16, 1, 1, generator=generator, dtype=torch.float64)

    def sliced_gradient(scale: float) -> float:
        factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)

        def network(x: Tensor, t: Tensor) -> Tensor:
            t = t[:, None, None]
            variance = (0.5 * path.alpha(t)) ** 2 + path.sigma(t) ** 2
            return factor * (0.3 * path.alpha(t) - x) / variance

        loss = loss_of(objective, network, path, data, torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad(loss, factor)
        return float(gradient)

    slope = sliced_gradient(1.2) - sliced_gradient(0.8)
    assert slope > 0
    # The minimum lies where the gradient, linear in the scale, vanishes: at the true score.
    assert 0.8 - 0.4 * sliced_gradient(0.8) / slope == pytest.approx(1.0, abs=0.02)


def test_sliced_score_matching_trains_an_ordinary_network() -> None:
    weight = torch.tensor(0.0, requires_grad=True)
    loss = loss_of(
        SlicedScoreMatching("epsilon"),
        lambda x, t: weight * x,
        VPLinear(),
        torch.randn(64, 3, 2),
    )
    loss.backward()
    assert torch.isfinite(weight.grad)
    assert weight.grad != 0


@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_sliced_score_matching_trains_every_network(network: str) -> None:
    """The fused attention has no second derivative, which this loss takes."""
    face = "kinoise.policy.training.objectives"
    sliced = {"_target_": f"{face}.SlicedScoreMatching", "target": "velocity"}
    policy = tiny.policy(network, objective=sliced)
    policy.compute_loss(tiny.batch(0, 4)).backward()
    gradients = [p.grad for p in policy.network.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_sliced_score_matching_refuses_to_leave_padding_out() -> None:
    mask = torch.ones(64, 3, dtype=torch.bool)
    mask[0, 2] = False
    with pytest.raises(PolicyError, match=r"data.padding=repeat"):
        loss_of(SlicedScoreMatching(), lambda x, t: x, VPLinear(), torch.randn(64, 3, 2), mask=mask)


@pytest.mark.parametrize("objective", [VariationalBound, SlicedScoreMatching])
def test_an_objective_with_a_weight_of_its_own_takes_no_other(objective: type) -> None:
    with pytest.raises(PolicyError, match="weight of its own"):
        objective(weight=SNR())


def test_a_known_base_moves_the_state_and_not_the_target() -> None:
    path = PATHS["previous_chunk"]
    base = torch.randn(4096, 3, 2, dtype=torch.float64)

    def network(x: Tensor, t: Tensor) -> Tensor:
        return _perfect("velocity", path)(x - path.beta(t[:, None, None]) * base, t)

    loss = loss_of(Denoising("velocity"), network, path, CHUNK, base=base)
    assert loss < 1e-10


def _entropy_bits() -> float:
    """Return the differential entropy of the mixture by quadrature."""
    x = torch.linspace(-4, 4, 20_001, dtype=torch.float64)
    logit = TWO_MODES.weights.log() - ((x[:, None] - TWO_MODES.means) / TWO_MODES.stds) ** 2 / 2
    log_density = torch.logsumexp(logit - TWO_MODES.stds.log(), -1) - math.log(2 * math.pi) / 2
    return float(-torch.trapezoid(log_density.exp() * log_density, x)) / math.log(2)

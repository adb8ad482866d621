"""The noise of training: fresh for every row and step, and at the time the network is told."""

from __future__ import annotations

import math

import pytest
import torch
from registry import PATHS, entries
from torch import Tensor, nn

from kinoise.policy.denoiser import Denoiser
from kinoise.policy.networks import Backbone
from kinoise.policy.paths import LearnedGamma, LinearFlow, Path, VEGeometric, VPLinear
from kinoise.policy.training.objectives import Denoising, TrainingBatch, VariationalBound
from kinoise.policy.training.times import Beta, PerToken, TimeDistribution, Uniform
from kinoise.policy.training.weights import SNR, Learned, Sample, Sigmoid, Weight

CHUNK = torch.full((4096, 3, 2), 0.4, dtype=torch.float64)


class Witness(Backbone):
    """Answers zero and remembers the last input and time."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.x = torch.empty(0)
        self.t = torch.empty(0)

    def times(self, t: Tensor) -> Tensor:
        return t

    def condition(self, cond: Tensor) -> Tensor:
        return cond

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        self.x = x.detach()
        self.t = times
        return 0 * x


def noise_shown(generator: torch.Generator | None = None) -> Tensor:
    """Return the noise `[B, H, Da]` of one training step on the linear flow."""
    network = Witness()
    denoiser = Denoiser(network, LinearFlow(), "velocity")
    Denoising().loss(denoiser, TrainingBatch(CHUNK, CHUNK[:, :0]), generator)
    t = network.t[:, None, None]
    return (network.x - (1 - t) * CHUNK) / t


def test_every_row_and_step_has_noise_of_its_own() -> None:
    torch.manual_seed(0)
    first, second = noise_shown(), noise_shown()
    # Correlations of 4096 independent numbers are of the order of a 64th.
    for a, b in [(first, second), (first[:-1], first[1:]), (first[:, :1], first[:, 1:])]:
        assert float((a * b).mean()) == pytest.approx(0.0, abs=0.08)


def test_the_noise_is_standard_normal_at_the_time_the_network_is_told() -> None:
    noise = noise_shown(torch.Generator().manual_seed(1)).flatten()
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
    assert float((noise.abs() < 1).double().mean()) == pytest.approx(math.erf(0.5**0.5), abs=0.02)


def test_the_noise_repeats_with_its_generator() -> None:
    first = noise_shown(torch.Generator().manual_seed(3))
    torch.manual_seed(7)
    assert torch.equal(first, noise_shown(torch.Generator().manual_seed(3)))


def test_a_coupling_chooses_the_noise_that_is_added() -> None:
    network = Witness()
    ones = torch.ones_like(CHUNK)
    batch = TrainingBatch(CHUNK, CHUNK[:, :0], pair=lambda sample, noise: (sample, ones))
    Denoising().loss(Denoiser(network, LinearFlow(), "velocity"), batch)
    t = network.t[:, None, None]
    torch.testing.assert_close(network.x, (1 - t) * CHUNK + t)


def test_strata_and_their_order_are_the_generators() -> None:
    times = [
        Uniform().sample(64, 1, LinearFlow(), torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(times[0], times[1])
    assert not torch.equal(times[0], times[2])
    # Rows next to each other in the batch have unrelated times.
    assert not torch.equal(times[0], times[0].sort().values)
    assert torch.equal((times[0] * 64).long().sort().values, torch.arange(64))


@pytest.mark.parametrize("target", ["epsilon", "v_prediction", "velocity", "sample"])
def test_the_mask_and_the_weight_count_as_the_formula_says(target: str) -> None:
    """An estimate of zero: the error of x_0 is the data's own, whatever the target."""
    path = VPLinear()

    class Zero(Witness):
        def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
            super().denoise(x, times, condition)
            level = Denoiser(self, path, target).level(times[:, None, None])
            return level.target(torch.zeros_like(x), x / level.sigma)

    mask = torch.ones(4096, 3, dtype=torch.bool)
    mask[:, 2] = False
    sample = CHUNK.clone()
    sample[:, 2] = 100.0
    network = Zero()
    objective = Denoising(target, weight=SNR(5.0))
    batch = TrainingBatch(sample, sample[:, :0], mask=mask)
    loss = objective.loss(Denoiser(network, path, target), batch)
    snr = (path.alpha(network.t) / path.sigma(network.t)) ** 2
    torch.testing.assert_close(loss, 0.4**2 * snr.clamp(max=5.0).mean())


def test_the_penalty_of_a_learned_weight_is_part_of_the_loss() -> None:
    weight = Learned(Sample()).double()
    with torch.no_grad():
        weight.output.bias.fill_(2.0)
    objective = Denoising("sample", weight=weight)
    network = Witness()
    loss = objective.loss(
        Denoiser(network, LinearFlow(), "sample"), TrainingBatch(CHUNK, CHUNK[:, :0])
    )
    assert loss.item() == pytest.approx(0.4**2 * math.exp(-2.0) + 2.0)


ALL_WEIGHTS = [each for each in entries("weight").values() if isinstance(each, Weight)]


@pytest.mark.parametrize("weight", ALL_WEIGHTS, ids=lambda weight: type(weight).__name__)
def test_no_weight_moves_a_learned_path(weight: Weight) -> None:
    t = torch.linspace(0.1, 0.9, 5)
    path = LearnedGamma()
    value = weight.weight(path, t)
    assert value.isfinite().all()
    if value.requires_grad:
        value.sum().backward()
    assert all(parameter.grad is None for parameter in path.parameters())


@pytest.mark.parametrize("bias", [-1.5, 0.0, 2.0])
@pytest.mark.parametrize("path", [VPLinear(), LinearFlow(), VEGeometric()])
def test_the_sigmoid_weight_is_its_formula_with_any_bias(bias: float, path: Path) -> None:
    """Hoogeboom et al. 2024: sigmoid(b - log SNR) on the bound's weight; b > 0 weighs more."""
    t = torch.linspace(0.2, 0.9, 8, dtype=torch.float64)
    log_snr = 2 * (path.alpha(t).log() - path.sigma(t).log())
    expected = path.snr_fall(t) / (1 + torch.exp(log_snr - bias))
    torch.testing.assert_close(Sigmoid(bias, 1e30).weight(path, t), expected)


BOUNDED = [VEGeometric(sigma_max=2.0), LearnedGamma(-8.0, 0.5), PATHS["linear_flow"]]


@pytest.mark.parametrize("path", BOUNDED, ids=lambda path: type(path).__name__)
def test_the_bound_of_known_data_is_its_ends_in_bits(path: Path) -> None:
    """Data all of one value, known to the network: no step of the chain costs anything.

    What is left is the prior, KL(N(alpha_1 c, sigma_1) | N(0, sigma_1)), seen on paths whose
    alpha(1) is not zero, and the entropy of the least noise.
    """
    if isinstance(path, nn.Module):
        path.double()

    class Certain(Witness):
        def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
            return torch.full_like(x, 0.4)

    mask = torch.ones(4096, 3, dtype=torch.bool)
    mask[:, 2] = False
    sample = CHUNK.clone()
    sample[:, 2] = 50.0
    batch = TrainingBatch(sample, sample[:, :0], mask=mask)
    denoiser = Denoiser(Certain(), path, "sample")
    bits = VariationalBound("sample", earliest=0.01).loss(denoiser, batch)

    first, last = torch.tensor([0.01, 1.0], dtype=torch.float64)
    prior = 0.5 * (path.alpha(last) / path.sigma(last) * 0.4) ** 2
    entropy = 0.5 * math.log(2 * math.pi * math.e) + (path.sigma(first) / path.alpha(first)).log()
    torch.testing.assert_close(bits, (prior + entropy) / math.log(2))


def test_the_bounds_steps_count_the_interval_of_their_times() -> None:
    """An estimate that misses by d costs d^2 times half the fall of the SNR over the interval."""
    path = VPLinear()

    class Misses(Witness):
        def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
            return torch.full_like(x, 0.5)

    earliest = 0.5
    batch = TrainingBatch(CHUNK, CHUNK[:, :0])
    objective = VariationalBound("sample", earliest=earliest)
    bits = objective.loss(Denoiser(Misses(), path, "sample"), batch)
    snr = (2 * path.log_snr(torch.tensor([earliest, 1.0], dtype=torch.float64))).exp()
    miss = 0.5 * float(snr[0] - snr[1]) * 0.1**2
    ends = float(objective._ends(path, CHUNK[:1, :1, :1]))
    assert float(bits) * math.log(2) == pytest.approx(miss + ends, rel=1e-4)


@pytest.mark.parametrize("times", [Uniform(), PerToken(Uniform()), Beta()])
def test_no_time_rounds_to_one(times: TimeDistribution, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last stratum's largest draw, (B - 1 + 1 - 2^-24) / B, is 1.0 in single precision."""
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), 1 - 2.0**-24))
    drawn = times.sample(64, 4, LinearFlow())
    assert drawn.max() < 1
    assert drawn.max() > 1 - 1e-6

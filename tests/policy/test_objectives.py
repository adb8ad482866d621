"""The denoising loss: its minimum, its weights, its mask, its times."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kinoise.policy.objectives import Denoising
from kinoise.policy.paths import LinearFlow, VPCosine, VPLinear
from kinoise.policy.targets import TARGETS, frame
from kinoise.policy.times import LogitNormal, PerToken, Power, Uniform
from kinoise.policy.weights import SNR, MinSNR

CHUNK = torch.full((4096, 3, 2), 0.4)


def _perfect(target: str, path: LinearFlow | VPCosine | VPLinear) -> object:
    """Return the network that knows the data are all 0.4."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        level = frame(target, path, t.reshape(len(x), -1, 1))
        noise = (x - level.alpha * 0.4) / level.sigma
        return level.target(torch.full_like(x, 0.4), noise)

    return network


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "score"])
@pytest.mark.parametrize("times", [Uniform(), LogitNormal(), Power(), PerToken(Uniform())])
def test_a_perfect_network_has_no_loss(target: str, times: Uniform) -> None:
    path = VPCosine()
    objective = Denoising(target, times)
    generator = torch.Generator().manual_seed(0)
    loss = objective.loss(_perfect(target, path), path, CHUNK, generator=generator)
    assert loss < 1e-4


class AtTheData:
    """Draws only t = 0, where there is no noise to speak of."""

    def sample(self, batch: int, horizon: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(batch)


@pytest.mark.parametrize("target", list(TARGETS))
@pytest.mark.parametrize("path", [LinearFlow(), VPLinear(), VPCosine()])
def test_the_loss_is_finite_even_where_the_path_has_no_noise(
    target: str, path: LinearFlow | VPLinear | VPCosine
) -> None:
    loss = Denoising(target, AtTheData()).loss(lambda x, t: torch.zeros_like(x), path, CHUNK)
    assert torch.isfinite(loss)


def test_with_the_snr_weight_every_target_has_the_epsilon_loss() -> None:
    path = VPLinear()

    def loss(target: str, weight: SNR | None) -> Tensor:
        def network(x: Tensor, t: Tensor) -> Tensor:
            # A constant guess of x_0, said in the words of the target.
            level = frame(target, path, t[:, None, None])
            guess = torch.zeros_like(x)
            return level.target(guess, (x - level.alpha * guess) / level.sigma)

        generator = torch.Generator().manual_seed(0)
        return Denoising(target, LogitNormal(), weight).loss(
            network, path, CHUNK, generator=generator
        )

    plain = loss("epsilon", None)
    for target in ("sample", "v_prediction", "velocity"):
        torch.testing.assert_close(loss(target, SNR(1e12)), plain, rtol=1e-3, atol=0)


def test_min_snr_clips_the_weight() -> None:
    assert MinSNR(5.0)(torch.tensor([-1.0, 3.0])).tolist() == pytest.approx(
        [torch.tensor(-2.0).exp().item(), 5.0]
    )


def test_masked_tokens_do_not_count() -> None:
    mask = torch.ones(64, 3, dtype=torch.bool)
    mask[:, 2] = False
    chunk = torch.randn(64, 3, 2)
    spoiled = chunk.clone()
    spoiled[:, 2] = 1e6

    def loss(sample: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        network = lambda x, t: torch.zeros_like(x)  # noqa: E731
        return Denoising().loss(network, LinearFlow(), sample, mask, generator)

    assert loss(chunk) == loss(spoiled)


@pytest.mark.parametrize("times", [Uniform(), LogitNormal(), Power()])
def test_times_lie_between_data_and_noise_one_a_chunk(times: Uniform) -> None:
    t = times.sample(512, 8, torch.Generator().manual_seed(0))
    assert t.shape == (512,)
    assert ((t >= 0) & (t <= 1)).all()


def test_per_token_times_differ_within_a_chunk() -> None:
    t = PerToken(Uniform()).sample(32, 8, torch.Generator().manual_seed(0))
    assert t.shape == (32, 8)
    assert (t.std(1) > 0).all()


def test_uniform_times_fill_every_stratum() -> None:
    t = Uniform().sample(100, 8, torch.Generator().manual_seed(0))
    assert (t.sort().values * 100).floor().tolist() == list(range(100))

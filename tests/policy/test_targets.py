"""The target algebra: conversions are exact, and Tweedie's formula holds on a mixture."""

from __future__ import annotations

import itertools

import pytest
import torch
from oracles import TWO_MODES
from registry import every_path, every_target

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path, VEGeometric, VPCosine
from kinoise.policy.targets import TARGETS, convert, frame

NAMES = list(TARGETS)


@every_path
@every_target
def test_a_target_gives_back_data_and_noise(path: Path, target: str) -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(max(0.001, path.earliest), 0.999, 97)[:, None]
    sample, noise = torch.randn(2, 97, 8, generator=generator)
    level = frame(target, path, t)
    x, prediction = level.noised(sample, noise), level.target(sample, noise)
    # Where the data hardly show in x, epsilon and score cannot tell them in float32, and where
    # the noise hardly shows, sample cannot: compare what each does determine, on x's own scale.
    bound = 1e-5 if target in ("v_prediction", "velocity") else 1e-3
    length = torch.hypot(level.alpha, level.sigma)
    sample_error = (level.alpha / length * (level.sample(x, prediction) - sample)).abs().max()
    noise_error = (level.sigma / length * (level.epsilon(x, prediction) - noise)).abs().max()
    assert sample_error < bound
    assert noise_error < bound


@every_path
@pytest.mark.parametrize(("source", "to"), list(itertools.permutations(NAMES, 2)))
def test_conversion_equals_the_other_target_in_float64(path: Path, source: str, to: str) -> None:
    generator = torch.Generator().manual_seed(1)
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)[:, None]
    sample, noise = torch.randn(2, 19, 4, generator=generator, dtype=torch.float64)
    given, wanted = frame(source, path, t), frame(to, path, t)
    x = given.noised(sample, noise)
    converted = convert(given.target(sample, noise), x, path, t, source, to)
    torch.testing.assert_close(converted, wanted.target(sample, noise), rtol=1e-8, atol=1e-8)


@every_path
def test_the_score_of_a_mixture_is_its_denoiser_in_another_target(path: Path) -> None:
    """Tweedie: grad log p_t(x) = (alpha E[x_0 | x] - x) / sigma^2, against autograd."""
    for angle in (0.1, 0.8, 1.4):
        t = path.time_at(torch.tensor(angle, dtype=torch.float64))
        x = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
        (score,) = torch.autograd.grad(TWO_MODES.log_density(path, x, t).sum(), x)
        mean = TWO_MODES.denoiser(path)(x, t)
        converted = convert(mean, x, path, t, "sample", "score")
        assert (converted - score).abs().max() < 1e-10


def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(PolicyError, match="did you mean 'velocity'"):
        frame("velocty", LinearFlow(), torch.tensor(0.5))


def test_every_target_is_its_published_formula() -> None:
    path = VPCosine()
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    alpha, sigma = path.alpha(t), path.sigma(t)
    x_0 = torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)
    noise = torch.tensor([1.1, 0.2, -0.4], dtype=torch.float64)
    moving = t.clone().requires_grad_()
    state = path.alpha(moving) * x_0 + path.sigma(moving) * noise
    (velocity,) = torch.autograd.grad(state.sum(), moving)
    formulas = {
        "epsilon": noise,
        "sample": x_0,
        "v_prediction": alpha * noise - sigma * x_0,  # Salimans & Ho 2022, section 4
        "velocity": velocity,
        "score": -noise / sigma,
    }
    for target, expected in formulas.items():
        torch.testing.assert_close(frame(target, path, t).target(x_0, noise), expected)


def test_edms_output_is_preconditioned_as_published() -> None:
    """Karras et al. 2022, table 1: D = c_skip x + c_out F with sigma_data = 1/2, alpha = 1."""
    path = VEGeometric()
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x, output = torch.tensor([[0.3, -2.0, 5.0], [0.9, -0.2, 0.4]], dtype=torch.float64)
    variance = path.sigma(t) ** 2 + 0.25
    expected = 0.25 / variance * x + path.sigma(t) * 0.5 / variance.sqrt() * output
    torch.testing.assert_close(frame("edm", path, t).sample(x, output), expected)

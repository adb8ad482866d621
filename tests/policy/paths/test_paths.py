"""Paths: endpoints, derivatives and inverses."""

from __future__ import annotations

import math

import pytest
import torch
from registry import every_path

from kinoise.policy.paths import LearnedGamma, Path, SubVP, Trigonometric
from kinoise.policy.paths.variance_preserving import VariancePreserving

INSIDE = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)

pytestmark = every_path


def test_time_zero_is_data_and_time_one_is_noise(path: Path) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    # A learned schedule keeps a trace of noise at t = 0: exp(gamma_min / 2).
    rest = math.exp(path.gamma_min / 2) if isinstance(path, LearnedGamma) else 1e-8
    assert path.alpha(ends)[0] == pytest.approx(1, abs=1e-5)
    assert path.sigma(ends)[0] == pytest.approx(0, abs=rest)
    assert path.alpha(ends)[1] < 0.03 * path.sigma(ends)[1] + 1e-12


def test_log_snr_falls_with_time(path: Path) -> None:
    assert (path.log_snr(INSIDE).diff() < 0).all()


def test_rates_are_the_derivatives_by_autograd(path: Path) -> None:
    t = INSIDE.clone().requires_grad_()
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        (slope,) = torch.autograd.grad((value(t) + 0 * t).sum(), t)
        torch.testing.assert_close(rate(INSIDE), slope, rtol=1e-9, atol=1e-9)


def test_time_at_inverts_the_noise_angle(path: Path) -> None:
    torch.testing.assert_close(path.time_at(path.angle(INSIDE)), INSIDE, rtol=1e-8, atol=1e-8)


def test_a_path_takes_one_time_a_token(path: Path) -> None:
    t = torch.rand(3, 5, dtype=torch.float64)
    for function in (path.alpha, path.sigma, path.alpha_rate, path.sigma_rate):
        torch.testing.assert_close(function(t)[1, 2], function(t[1, 2]))


def test_the_rate_of_log_snr_is_its_derivative(path: Path) -> None:
    t = INSIDE[:-1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(path.log_snr(t).sum(), t)
    torch.testing.assert_close(path.log_snr_rate(t).detach(), slope, rtol=1e-7, atol=1e-7)


def test_the_fall_of_the_snr_is_minus_half_its_derivative(path: Path) -> None:
    t = INSIDE[10:].clone().requires_grad_()  # before, the SNR of some paths exceeds 1e8
    snr = torch.exp(2 * path.log_snr(t))
    (slope,) = torch.autograd.grad(snr.sum(), t)
    torch.testing.assert_close(path.snr_fall(t).detach(), -slope / 2, rtol=1e-7, atol=1e-9)


def test_the_fall_of_the_snr_is_finite_at_the_noise(path: Path) -> None:
    fall = path.snr_fall(torch.ones(1, dtype=torch.float64))
    assert fall.isfinite().all()
    assert (fall >= 0).all()


def test_the_length_at_an_angle_is_that_of_the_path_and_one_at_the_data(path: Path) -> None:
    length = torch.hypot(path.alpha(INSIDE), path.sigma(INSIDE))
    torch.testing.assert_close(path.length(path.angle(INSIDE)), length, rtol=1e-7, atol=1e-7)
    assert path.length(torch.zeros(1, dtype=torch.float64)) == 1


def test_the_network_sees_inputs_of_order_one(path: Path) -> None:
    scale = path.input_scale(INSIDE)
    factor = torch.ones_like(INSIDE) if scale is None else scale
    seen = factor * torch.hypot(0.5 * path.alpha(INSIDE), path.sigma(INSIDE))
    assert (seen > 0.3).all()
    assert (seen < 1.5).all()


def test_variance_preserving_paths_preserve_variance(path: Path) -> None:
    preserving = isinstance(path, (VariancePreserving, Trigonometric, LearnedGamma))
    if isinstance(path, SubVP) or not preserving:
        return
    total = path.alpha(INSIDE) ** 2 + path.sigma(INSIDE) ** 2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_the_noise_does_not_vanish_by_rounding_just_after_the_data(path: Path) -> None:
    t = torch.tensor([1e-6, 1e-5, 1e-4])
    torch.testing.assert_close(path.sigma(t).double(), path.sigma(t.double()), rtol=1e-3, atol=0)
    assert (path.sigma(t) > 0).all()
    assert torch.isfinite(path.sigma_rate(t)).all()

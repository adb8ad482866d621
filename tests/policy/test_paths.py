"""Paths: endpoints, derivatives and inverses."""

from __future__ import annotations

import pytest
import torch

from kinoise.policy.paths import LinearFlow, Path, VPCosine, VPLinear

PATHS = [LinearFlow(), VPLinear(), VPCosine()]
INSIDE = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)


@pytest.fixture(params=PATHS, ids=lambda path: type(path).__name__)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_time_zero_is_data_and_time_one_is_noise(path: Path) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert path.alpha(ends)[0] == pytest.approx(1, abs=1e-12)
    assert path.sigma(ends)[0] == pytest.approx(0, abs=1e-8)
    assert path.alpha(ends)[1] < 0.01
    assert path.sigma(ends)[1] == pytest.approx(1, abs=1e-4)


def test_log_snr_falls_with_time(path: Path) -> None:
    assert (path.log_snr(INSIDE).diff() < 0).all()


def test_rates_are_the_derivatives_by_autograd(path: Path) -> None:
    t = INSIDE.clone().requires_grad_()
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        (slope,) = torch.autograd.grad(value(t).sum(), t)
        torch.testing.assert_close(rate(INSIDE), slope, rtol=1e-9, atol=1e-9)


def test_time_at_inverts_the_noise_angle(path: Path) -> None:
    torch.testing.assert_close(path.time_at(path.angle(INSIDE)), INSIDE, rtol=1e-8, atol=1e-8)


def test_a_path_takes_one_time_a_token(path: Path) -> None:
    t = torch.rand(3, 5, dtype=torch.float64)
    for function in (path.alpha, path.sigma, path.alpha_rate, path.sigma_rate):
        torch.testing.assert_close(function(t)[1, 2], function(t[1, 2]))


@pytest.mark.parametrize("path", [VPLinear(), VPCosine()], ids=["linear", "cosine"])
def test_variance_preserving_paths_preserve_variance(path: Path) -> None:
    total = path.alpha(INSIDE) ** 2 + path.sigma(INSIDE) ** 2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_the_noise_does_not_vanish_by_rounding_just_after_the_data(path: Path) -> None:
    t = torch.tensor([1e-6, 1e-5, 1e-4])
    torch.testing.assert_close(path.sigma(t).double(), path.sigma(t.double()), rtol=1e-3, atol=0)
    assert (path.sigma(t) > 0).all()
    assert torch.isfinite(path.sigma_rate(t)).all()

"""Weights of the x_0 error: what they equal, and that learned ones learn the uncertainty."""

from __future__ import annotations

import pytest
import torch
from registry import entries, every_path

from kinoise.policy.paths import Path, VEGeometric, VPLinear
from kinoise.policy.targets import SIGMA_DATA, frame
from kinoise.policy.training.weights import (
    EDM,
    ELBO,
    Learned,
    MinSNR,
    Sample,
    Sigmoid,
    Targets,
    Weight,
)

INSIDE = torch.linspace(0.05, 0.95, 91, dtype=torch.float64)
WEIGHTS = {name: entry for name, entry in entries("weight").items() if isinstance(entry, Weight)}


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS.keys())
@every_path
def test_weights_are_finite_and_not_negative(weight: Sample, path: Path) -> None:
    values = weight.weight(path, INSIDE)
    assert values.shape == INSIDE.shape
    assert torch.isfinite(values).all()
    assert (values >= 0).all()
    assert weight.penalty(path, INSIDE).shape == INSIDE.shape


def test_min_snr_clips_the_weight() -> None:
    snr = torch.exp(2 * VPLinear().log_snr(INSIDE))
    torch.testing.assert_close(MinSNR(5.0).weight(VPLinear(), INSIDE), snr.clamp(max=5.0))


@every_path
def test_the_bounds_weight_is_the_slope_of_the_snr(path: Path) -> None:
    t = INSIDE.clone().requires_grad_()
    (slope,) = torch.autograd.grad(torch.exp(2 * path.log_snr(t)).sum(), t)
    torch.testing.assert_close(ELBO(1e30).weight(path, INSIDE), -slope / 2)
    half = Sigmoid(0.0, 1e30).weight(path, INSIDE) / ELBO(1e30).weight(path, INSIDE)
    torch.testing.assert_close(half, torch.sigmoid(-2 * path.log_snr(INSIDE)))


def test_edms_weight_cancels_its_preconditioning() -> None:
    """Karras et al. 2022, table 1: lambda(sigma) c_out^2 = 1, so F's own error has weight one."""
    path = VEGeometric()
    level = frame("edm", path, INSIDE)
    torch.testing.assert_close(
        EDM(1e30).weight(path, INSIDE) * (level.sigma / level.det) ** 2, torch.ones_like(INSIDE)
    )
    assert SIGMA_DATA == 0.5


def test_the_own_loss_of_v_weighs_data_by_one_more_than_the_snr() -> None:
    """Salimans & Ho 2022, section 4: |v - v_hat|^2 = (1 + SNR) |x_0 - x_0_hat|^2 where the
    variance is preserved."""
    path = VPLinear()
    snr = torch.exp(2 * path.log_snr(INSIDE))
    torch.testing.assert_close(Targets({"v_prediction": 1.0}, 1e30).weight(path, INSIDE), 1 + snr)


@every_path
def test_the_weight_of_several_targets_is_the_sum_of_their_errors(path: Path) -> None:
    """An x_0 error d moves a target by |det| / sigma d."""
    given = {"velocity": 2.0, "epsilon": 0.5}
    total = sum(
        factor * (frame(name, path, INSIDE).det / frame(name, path, INSIDE).sigma) ** 2
        for name, factor in given.items()
    )
    torch.testing.assert_close(Targets(given, 1e30).weight(path, INSIDE), total)


def test_a_learned_weight_finds_the_log_of_the_error_at_every_level() -> None:
    """min over u of error / exp(u) + u is u = log error (Karras et al. 2024, eq. 21)."""
    torch.manual_seed(0)
    path, weight = VPLinear(), Learned(Sample())
    optimizer = torch.optim.Adam(weight.parameters(), 2e-2)
    for _ in range(600):
        t = torch.rand(256)
        error = 0.1 + t
        loss = (error * weight.weight(path, t) + weight.penalty(path, t)).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    t = torch.linspace(0.1, 0.9, 17)
    learned = weight.log_variance(path, t).detach()
    assert (learned - (0.1 + t).log()).abs().max() < 0.15

"""Paths against the formulas of their papers, computed apart, at times written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from kinoise.policy.paths import (
    EDM,
    PATHS,
    Interpolant,
    LearnedGamma,
    LinearFlow,
    Path,
    SubVP,
    Trigonometric,
    VEGeometric,
    VPCosine,
    VPLinear,
    shifted,
)

F64 = torch.float64
TIMES = (0.03, 0.25, 0.6, 0.97)


def vp_linear(t: float) -> tuple[float, float]:
    """Song et al. 2021, eq. 33, beta from 0.1 to 20: alpha = exp(-integral of beta / 2)."""
    alpha = math.exp(-(0.1 * t + 19.9 * t**2 / 2) / 2)
    return alpha, math.sqrt(1 - alpha**2)


def vp_cosine(t: float) -> tuple[float, float]:
    """Nichol & Dhariwal 2021, eq. 17, s = 0.008; their alpha-bar is alpha squared."""
    alpha = math.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
    return alpha, math.sqrt(1 - alpha**2)


def sub_vp(t: float) -> tuple[float, float]:
    """Song et al. 2021, eq. 29."""
    alpha, _ = vp_linear(t)
    return alpha, 1 - alpha**2


def ve(t: float) -> tuple[float, float]:
    """Song et al. 2021, eq. 31, from 0.01 to 50, less the variance at t = 0."""
    return 1.0, math.sqrt((0.01 * 5000**t) ** 2 - 0.01**2)


def trigonometric(t: float) -> tuple[float, float]:
    """Albergo et al. 2023, section 4.2."""
    return math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)


def generalised_vp(t: float) -> tuple[float, float]:
    return trigonometric(t**1.5)


def interpolant(t: float) -> tuple[float, float]:
    """Albergo et al. 2023, eq. 2.1: base and latent, of strength 1/2, are one Gaussian."""
    return 1 - t, math.sqrt(t**2 + (0.5 * math.sqrt(2 * t * (1 - t))) ** 2)


FORMULAS: dict[str, Callable[[float], tuple[float, float]]] = {
    "edm": lambda t: (1.0, 80 * t**7),
    "generalised_vp": generalised_vp,
    "interpolant": interpolant,
    "linear_flow": lambda t: (1 - t, t),
    "sub_vp": sub_vp,
    "trigonometric": trigonometric,
    "ve": ve,
    "vp_cosine": vp_cosine,
    "vp_linear": vp_linear,
}

#: The least time of training; EDM's is that of its least noise, 0.002.
EARLIEST = {"edm": (0.002 / 80) ** (1 / 7), "interpolant": 0.01}

every_path = pytest.mark.parametrize("name", PATHS)


def time(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def test_every_named_path_has_its_formula_here() -> None:
    assert PATHS.keys() == FORMULAS.keys()


@every_path
@pytest.mark.parametrize("t", TIMES)
def test_a_path_with_its_default_settings_is_its_papers_formula(name: str, t: float) -> None:
    path = PATHS[name]()
    alpha, sigma = FORMULAS[name](t)
    assert path.alpha(time(t)).item() == pytest.approx(alpha, rel=1e-12)
    assert path.sigma(time(t)).item() == pytest.approx(sigma, rel=1e-12)
    assert path.angle(time(t)).item() == pytest.approx(math.atan2(sigma, alpha), rel=1e-12)
    assert path.log_snr(time(t)).item() == pytest.approx(math.log(alpha / sigma), abs=1e-12)


@every_path
def test_training_begins_at_the_earliest_time_of_the_path(name: str) -> None:
    assert PATHS[name]().earliest == pytest.approx(EARLIEST.get(name, 1e-5), rel=1e-12)


@pytest.mark.parametrize("path", [EDM(), VEGeometric()])
@pytest.mark.parametrize("t", TIMES)
def test_exploding_paths_scale_the_input_by_edms_c_in(path: Path, t: float) -> None:
    """Karras et al. 2022, table 1: 1 / sqrt(sigma^2 + sigma_data^2), sigma_data = 1/2."""
    scale = path.input_scale(time(t))
    assert scale is not None
    sigma = path.sigma(time(t)).item()
    assert scale.item() == pytest.approx(1 / math.sqrt(sigma**2 + 0.25), rel=1e-12)


@pytest.mark.parametrize("path", [LinearFlow(), VPLinear(), VPCosine(), SubVP(), Trigonometric()])
def test_the_other_paths_leave_the_input_as_it_is(path: Path) -> None:
    assert path.input_scale(time(*TIMES)) is None


@pytest.mark.parametrize(
    ("path", "ends"),
    [
        (LinearFlow(), (0.0, 1.0)),
        (VPLinear(), (math.exp(-5.025), math.sqrt(1 - math.exp(-10.05)))),
        (VPCosine(), (0.0, 1.0)),
        (SubVP(), (math.exp(-5.025), 1 - math.exp(-10.05))),
        (Trigonometric(), (0.0, 1.0)),
        (Trigonometric(exponent=3.0), (0.0, 1.0)),
        (Interpolant(spread=0.3), (0.0, 0.3)),
        (EDM(), (1.0, 80.0)),
        (VEGeometric(), (1.0, math.sqrt(50**2 - 0.01**2))),
    ],
)
def test_a_path_ends_where_it_says(path: Path, ends: tuple[float, float]) -> None:
    """Exactly: an alpha of 1e-17 at t = 1 would be an SNR to divide by."""
    assert path.alpha(time(1.0)).item() == pytest.approx(ends[0], rel=1e-12, abs=0)
    assert path.sigma(time(1.0)).item() == pytest.approx(ends[1], rel=1e-12)


def test_only_a_path_with_a_base_adds_it_in_proportion_to_the_time() -> None:
    t = time(*TIMES)
    assert torch.equal(Interpolant(has_base=True).beta(t), t)
    assert not Interpolant().beta(t).any()
    assert not LinearFlow().beta(t).any()


def test_a_learned_schedule_ends_at_its_bounds_and_is_monotone_between_them() -> None:
    torch.manual_seed(0)
    path = LearnedGamma(gamma_min=-7.0, gamma_max=5.0)
    with torch.no_grad():
        for parameter in path.parameters():
            parameter.add_(torch.randn_like(parameter))
    gamma = path.gamma(torch.linspace(0, 1, 100, dtype=F64)).detach()
    assert gamma[0].item() == pytest.approx(-7)
    assert gamma[-1].item() == pytest.approx(5)
    assert (gamma.diff() > 0).all()
    assert path.time_at(path.angle(time(0.0, 1.0))).tolist() == pytest.approx([0, 1], abs=1e-9)


def test_an_angle_outside_a_learned_schedule_is_its_nearest_end() -> None:
    path = LearnedGamma()
    assert path.time_at(time(0.0, 1e-9, math.pi / 2)).tolist() == [0, 0, 1]


def test_reduced_variance_multiplies_the_gradient_of_gamma_by_twice_the_loss() -> None:
    """Kingma et al. 2021, appendix I.2: the gradient of E[loss^2]."""

    def gradient(emphasised: bool) -> Tensor:
        path = LearnedGamma()
        losses = (path.gamma(torch.tensor([[0.3], [0.8]])) + 20) ** 2
        if emphasised:
            path.reduce_variance(losses)
            losses.sum().backward()
        else:
            (losses**2).sum().backward()
        assert path.gain.grad is not None
        return path.gain.grad

    torch.testing.assert_close(gradient(True), gradient(False))


@pytest.mark.parametrize("shift", [0.5, 3.0])
@pytest.mark.parametrize("path", [LinearFlow(), VPCosine(), Trigonometric(1.5), Interpolant()])
def test_a_shift_multiplies_the_ratio_of_noise_to_data(path: Path, shift: float) -> None:
    t = time(*TIMES)
    moved = shifted(t, shift, path)
    ratio = path.angle(moved).tan() / path.angle(t).tan()
    torch.testing.assert_close(ratio, torch.full_like(t, shift), rtol=1e-6, atol=0)
    assert shifted(time(1.0), shift, path).item() == pytest.approx(1)


@pytest.mark.parametrize("path", [EDM(), VEGeometric(), VPLinear(), SubVP()])
def test_a_shift_keeps_the_end_of_a_path_that_ends_at_a_finite_ratio(path: Path) -> None:
    t = time(*TIMES)
    end = 1 / path.angle(time(1.0)).tan()
    before = 1 / path.angle(t).tan() - end
    after = 1 / path.angle(shifted(t, 3.0, path)).tan() - end
    torch.testing.assert_close(after, before / 3, rtol=1e-6, atol=1e-12)
    assert shifted(time(1.0), 3.0, path).item() == pytest.approx(1, abs=1e-9)


def test_a_flow_is_shifted_as_in_stable_diffusion_3() -> None:
    """Esser et al. 2024, eq. 23: t' = s t / (1 + (s - 1) t)."""
    t = time(*TIMES)
    torch.testing.assert_close(shifted(t, 3.0, LinearFlow()), 3 * t / (1 + 2 * t))


@every_path
def test_the_shape_of_the_times_is_checked_while_the_tests_run(name: str) -> None:
    path = PATHS[name]()
    with pytest.raises(TypeCheckError):
        path.alpha(torch.tensor([0, 1]))
    with pytest.raises(TypeCheckError):
        path.sigma(0.5)  # type: ignore[arg-type]


def test_an_untrained_schedule_has_the_ends_of_variational_diffusion_models() -> None:
    """Kingma et al. 2021, appendix B: log SNR from 13.3 at the data to -10 at the noise."""
    path = LearnedGamma().double()
    ends = path.gamma(torch.tensor([0.0, 1.0], dtype=torch.float64)).detach()
    torch.testing.assert_close(ends, torch.tensor([-13.3, 10.0], dtype=torch.float64))

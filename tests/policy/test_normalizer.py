"""Normalisation: a round trip, known ranges, and no division by nothing."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from kinoise.policy.errors import PolicyError
from kinoise.policy.normalizer import Normalizer


def _fitted(low: list[float], high: list[float], mode: str = "minmax") -> Normalizer:
    normalizer = Normalizer({"x.y": (len(low),)})
    a, b = torch.tensor(low), torch.tensor(high)
    stats = {"min": a, "max": b, "mean": (a + b) / 2, "std": (b - a) / 4 + 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant dimensions
        normalizer.fit({"x.y": stats}, {"x.y": mode})
    return normalizer


@given(
    low=st.floats(-1e3, 1e3, width=32),
    width=st.floats(0.0, 1e3, width=32),
    share=st.floats(0, 1, width=32),
    mode=st.sampled_from(["minmax", "standard", "identity"]),
)
@example(low=0.0, width=1.401298464324817e-45, share=0.0, mode="minmax")  # no float32 is half of it
def test_unnormalize_undoes_normalize(low: float, width: float, share: float, mode: str) -> None:
    normalizer = _fitted([low], [low + width], mode)
    value = torch.tensor([low + share * width])
    back = normalizer.unnormalize("x.y", normalizer.normalize("x.y", value))
    torch.testing.assert_close(back, value, rtol=2e-4, atol=1e-3)


def test_minmax_maps_the_range_to_minus_one_and_one() -> None:
    normalizer = _fitted([0.0, -4.0], [512.0, 4.0])
    ends = normalizer.normalize("x.y", torch.tensor([[0.0, -4.0], [512.0, 4.0]]))
    assert ends.tolist() == [[-1.0, -1.0], [1.0, 1.0]]


def test_a_constant_dimension_is_centred_and_never_blown_up() -> None:
    normalizer = _fitted([0.5], [0.50001])
    assert normalizer.normalize("x.y", torch.tensor([0.5001])).abs() < 1e-3


@pytest.mark.parametrize("mode", ["minmax", "standard"])
@pytest.mark.parametrize("unit", [1.0, 1000.0, 1e-3])
def test_a_constant_dimension_comes_out_as_its_value_whatever_the_network_says(
    mode: str, unit: float
) -> None:
    normalizer = _fitted([0.5 * unit, 0.0], [0.5 * unit, 0.0], mode)
    wild = torch.randn(100, 2)
    assert torch.equal(normalizer.unnormalize("x.y", wild)[:, 0], torch.full((100,), 0.5 * unit))
    assert torch.equal(normalizer.unnormalize("x.y", wild)[:, 1], torch.zeros(100))


@pytest.mark.parametrize("unit", [1.0, 1000.0, 1e-3])
def test_a_dimension_of_small_range_comes_back_within_it(unit: float) -> None:
    low, high = 0.5 - 5e-5, 0.5 + 5e-5
    normalizer = _fitted([low * unit], [high * unit])
    value = normalizer.unnormalize("x.y", torch.empty(100, 1).uniform_(-1, 1)) / unit
    assert (value - 0.5).abs().max() < 6e-5


@pytest.mark.parametrize("mode", ["minmax", "standard"])
def test_a_nearly_constant_dimension_comes_back_as_the_middle_of_its_range(mode: str) -> None:
    normalizer = Normalizer({"x": (1,)})
    stats = {"min": [1000.0], "max": [1000.05], "mean": [1000.04], "std": [0.01]}
    with pytest.warns(UserWarning, match="constant"):
        normalizer.fit({"x": stats}, {"x": mode})
    value = normalizer.unnormalize("x", torch.randn(10, 1))
    torch.testing.assert_close(value, torch.full((10, 1), 1000.025), rtol=0, atol=1e-3)


def test_rounding_noise_beside_real_motion_is_no_motion() -> None:
    normalizer = _fitted([-1.0, -1e-9], [1.0, 1e-9])
    assert normalizer.normalize("x.y", torch.tensor([0.5, 1e-3])).tolist() == [0.5, 0.0]


def test_constant_dimensions_are_named_in_a_warning() -> None:
    normalizer = Normalizer({"action": (3,)})
    low, high = torch.tensor([0.0, 0.5, -1.0]), torch.tensor([1.0, 0.5, 1.0])
    stats = {"min": low, "max": high, "mean": low, "std": high - low}
    with pytest.warns(UserWarning, match=r"dimensions \[1\] of 'action' are constant"):
        normalizer.fit({"action": stats})


def test_statistics_that_are_not_finite_are_refused() -> None:
    normalizer = Normalizer({"x": (1,)})
    ones = torch.ones(1)
    stats = {"min": -ones, "max": ones, "mean": ones * torch.nan, "std": ones}
    with pytest.raises(PolicyError, match="mean of 'x' is not finite"):
        normalizer.fit({"x": stats})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cast_to_half_precision_leaves_the_units_alone(dtype: torch.dtype) -> None:
    normalizer = _fitted([0.3], [1000.7])
    normalizer.to(dtype)
    highest = normalizer.unnormalize("x.y", torch.tensor([1.0]))
    # In half precision the nearest number would be 1000.5 or 1000.
    assert highest.dtype == torch.float32
    assert float(highest[0]) == pytest.approx(1000.7, abs=1e-3)


def test_the_bounds_are_those_of_the_data_in_normalised_units() -> None:
    low, high = _fitted([-2.0], [6.0], "standard").bounds("x.y")
    assert low.item() == pytest.approx(-2, abs=1e-6)
    assert high.item() == pytest.approx(2, abs=1e-6)


def test_statistics_travel_in_the_state_dict() -> None:
    fitted, fresh = _fitted([0.0], [8.0]), Normalizer({"x.y": (1,)})
    fresh.load_state_dict(fitted.state_dict())
    value = torch.tensor([3.0])
    assert torch.equal(fresh.normalize("x.y", value), fitted.normalize("x.y", value))


def test_keys_it_does_not_know_pass_unchanged() -> None:
    image = torch.randint(0, 256, (2, 2, 3), dtype=torch.uint8)
    assert torch.equal(_fitted([0.0], [1.0]).normalize("image", image), image)


def test_missing_statistics_and_unknown_modes_are_named() -> None:
    normalizer = Normalizer({"x": (2,)})
    with pytest.raises(PolicyError, match="no statistics for 'x'"):
        normalizer.fit({})
    stats = {
        "min": torch.zeros(3),
        "max": torch.ones(3),
        "mean": torch.ones(3),
        "std": torch.ones(3),
    }
    with pytest.raises(PolicyError, match="have shape"):
        normalizer.fit({"x": stats})
    with pytest.raises(PolicyError, match="did you mean 'minmax'"):
        normalizer.fit({"x": stats}, {"x": "minmx"})

"""Normalisation: a round trip, known ranges, and no division by nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinoise.policy.errors import PolicyError
from kinoise.policy.normalizer import Normalizer


def _fitted(low: list[float], high: list[float], mode: str = "minmax") -> Normalizer:
    normalizer = Normalizer({"x.y": (len(low),)})
    a, b = torch.tensor(low), torch.tensor(high)
    stats = {"min": a, "max": b, "mean": (a + b) / 2, "std": (b - a) / 4 + 1e-9}
    normalizer.fit({"x.y": stats}, {"x.y": mode})
    return normalizer


@given(
    low=st.floats(-1e3, 1e3, width=32),
    width=st.floats(0.0, 1e3, width=32),
    share=st.floats(0, 1, width=32),
    mode=st.sampled_from(["minmax", "standard", "identity"]),
)
def test_unnormalize_undoes_normalize(low: float, width: float, share: float, mode: str) -> None:
    normalizer = _fitted([low], [low + width], mode)
    value = torch.tensor([low + share * width])
    back = normalizer.unnormalize("x.y", normalizer.normalize("x.y", value))
    torch.testing.assert_close(back, value, rtol=1e-4, atol=1e-3)


def test_minmax_maps_the_range_to_minus_one_and_one() -> None:
    normalizer = _fitted([0.0, -4.0], [512.0, 4.0])
    ends = normalizer.normalize("x.y", torch.tensor([[0.0, -4.0], [512.0, 4.0]]))
    assert ends.tolist() == [[-1.0, -1.0], [1.0, 1.0]]


def test_a_constant_dimension_is_centred_and_never_blown_up() -> None:
    normalizer = _fitted([0.5], [0.50001])
    assert normalizer.normalize("x.y", torch.tensor([0.5001])).abs() < 1e-3


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
    stats = {"min": torch.zeros(3), "max": torch.ones(3)}
    with pytest.raises(PolicyError, match="have shape"):
        normalizer.fit({"x": stats})
    with pytest.raises(PolicyError, match="did you mean 'minmax'"):
        normalizer.fit({"x": stats}, {"x": "minmx"})

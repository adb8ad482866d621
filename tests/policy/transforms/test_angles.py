"""Wrapping angles: no jump, and back within the recorded turn."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms import SinCos
from kinoise.policy.transforms.angles import wrapped

ANGLE = st.floats(-math.pi, math.pi)
SHAPES = {"obs": (4,), "action": (3,)}


@settings(max_examples=30)
@given(angle=ANGLE, turns=st.integers(-3, 3))
def test_whole_turns_change_nothing_of_what_is_observed(angle: float, turns: int) -> None:
    transform = SinCos("obs", [2])
    value = torch.tensor([1.0, 2.0, angle, 4.0], dtype=torch.float64)
    moved = value.clone()
    moved[2] += 2 * math.pi * turns
    seen, same = (transform.observe({"obs": v.expand(1, 2, 4)})["obs"] for v in (value, moved))
    torch.testing.assert_close(seen, same, rtol=0, atol=1e-12)


def test_the_sine_takes_the_angles_place_and_other_columns_keep_their_numbers() -> None:
    transform = SinCos("obs", [1, 3])
    assert transform.connect(SHAPES)["obs"] == (6,)
    value = torch.tensor([10.0, 0.5, 20.0, -2.0]).expand(1, 1, 4)
    seen = transform.observe({"obs": value})["obs"][0, 0]
    expected = [10, math.sin(0.5), 20, math.sin(-2.0), math.cos(0.5), math.cos(-2.0)]
    assert seen.tolist() == pytest.approx(expected)


@settings(max_examples=30)
@given(angle=ANGLE)
def test_an_actions_angle_comes_back_from_its_pair(angle: float) -> None:
    transform = SinCos("action", [1])
    action = torch.tensor([3.0, angle, 5.0], dtype=torch.float64).expand(2, 4, 3)
    written = transform.write(action, {})
    assert written.shape == (2, 4, 4)
    back = transform.read(written, {})
    torch.testing.assert_close(wrapped(back - action), torch.zeros_like(action))


@settings(max_examples=30)
@given(angle=st.floats(-100, 100))
def test_a_wrapped_angle_differs_by_whole_turns_and_lies_about_zero(angle: float) -> None:
    found = wrapped(torch.tensor(angle, dtype=torch.float64))
    assert found.abs() <= math.pi + 1e-9
    turns = (angle - found) / (2 * math.pi)
    assert abs(turns - turns.round()) < 1e-9


@settings(max_examples=30)
@given(angle=st.floats(-3.125, 3.125, width=32))
def test_an_angle_within_half_a_turn_stays_bitwise_as_it_is(angle: float) -> None:
    assert wrapped(torch.tensor(angle)) == torch.tensor(angle)


@pytest.mark.parametrize(
    ("key", "columns", "fault"),
    [
        ("osb", [0], "did you mean 'obs'"),
        ("obs", [4], "has no column 4; did you mean 3"),
        ("obs", [-1], "has no column -1; did you mean 0"),
        ("obs", [1, 1], "twice"),
        ("obs", [], "no columns"),
        ("obs", [True], "whole numbers"),
        ("camera", [0], "is an image"),
    ],
)
def test_a_key_or_column_that_is_not_there_is_named(
    key: str, columns: list[int], fault: str
) -> None:
    with pytest.raises(PolicyError, match=fault):
        SinCos(key, columns).connect({**SHAPES, "camera": (64, 64, 3)})

"""Observations held to what was seen, and disturbed in training alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms import (
    Chain,
    ClipObservation,
    ObservationDropout,
    ObservationNoise,
    SinCos,
    Transform,
)

SHAPES = {"a": (2,), "b": (3, 2), "camera": (40, 40, 3), "action": (2,)}


def observations(n: int = 4) -> dict[str, Tensor]:
    """Return observations of n rows."""
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(n, 2, 2, generator=generator),
        "b": torch.randn(n, 2, 3, 2, generator=generator),
        "camera": torch.zeros(n, 2, 40, 40, 3, dtype=torch.uint8),
    }


def watched(*transforms: Transform) -> Chain:
    """Return a chain that has seen a from -1 to 3 and b from 0 to 10."""
    chain = Chain(transforms, SHAPES)
    for a, b in ((-1.0, 0.0), (3.0, 10.0)):
        obs = {"a": torch.full((1, 2, 2), a), "b": torch.full((1, 2, 3, 2), b)}
        chain.watch(obs, torch.zeros(1, 8, 2))
    return chain


def test_observations_are_held_to_the_range_of_all_batches() -> None:
    chain = watched(ClipObservation())
    obs = {**observations(1), "a": torch.tensor([-5.0, 7.0]).expand(1, 2, 2)}
    seen = chain.observe(obs)
    assert seen["a"].unique().tolist() == [-1, 3]
    assert seen["b"].min() == 0
    assert seen["camera"] is obs["camera"]


def test_the_range_may_be_stretched_and_other_columns_are_let_alone() -> None:
    chain = watched(ClipObservation("a", [1], stretch=1.5))
    seen = chain.observe({**observations(1), "a": torch.full((1, 2, 2), 9.0)})
    assert seen["a"][0, 0].tolist() == [9, 4]


def test_a_range_is_that_of_the_values_at_its_place_in_the_chain() -> None:
    chain = watched(SinCos("a", [0]), ClipObservation("a"))
    seen = chain.observe({**observations(1), "a": torch.full((1, 2, 2), 0.5)})
    sines = torch.tensor([-1.0, 3.0]).sin()
    assert seen["a"][0, 0, 0] == torch.tensor(0.5).sin().clamp(*sines.sort().values.tolist())


def test_noise_has_the_asked_for_deviation_in_halves_of_the_range() -> None:
    chain = watched(ObservationNoise("a", scale=0.1))
    obs = {**observations(2000), "a": torch.zeros(2000, 2, 2)}
    disturbed = chain.disturb(obs, torch.Generator().manual_seed(0))
    assert disturbed["a"].std() == pytest.approx(0.1 * 2, rel=0.05)
    assert disturbed["b"] is obs["b"]


def test_whole_histories_are_hidden_at_the_asked_for_rate() -> None:
    chain = watched(ObservationDropout(rate=0.3))
    obs = observations(3000)
    disturbed = chain.disturb(obs, torch.Generator().manual_seed(0))
    for key, middle in (("a", 1.0), ("b", 5.0)):
        hidden = (disturbed[key] == middle).flatten(1)
        assert (hidden.all(1) == hidden.any(1)).all()
        assert hidden.all(1).float().mean() == pytest.approx(0.3, abs=0.04)
    both = (disturbed["a"] == 1).flatten(1).all(1) & (disturbed["b"] == 5).flatten(1).all(1)
    assert both.float().mean() == pytest.approx(0.09, abs=0.03)


@pytest.mark.parametrize("transform", [ObservationNoise, ObservationDropout])
def test_running_disturbs_nothing_and_training_by_the_generator_alone(
    transform: type[Transform],
) -> None:
    chain = watched(transform())
    obs = observations()
    for key, value in chain.observe(obs).items():
        assert torch.equal(value, obs[key])
    first, second, other = (
        chain.disturb(obs, torch.Generator().manual_seed(seed)) for seed in (1, 1, 3)
    )
    assert torch.equal(first["a"], second["a"])
    assert transform is ObservationDropout or not torch.equal(first["a"], other["a"])


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: ClipObservation("c"), "no key to transform named 'c'"),
        (lambda: ClipObservation("action"), "no key to transform named 'action'"),
        (lambda: ClipObservation("camera"), "'camera' is an image"),
        (lambda: ClipObservation("a", [2]), "has no column 2"),
        (lambda: ClipObservation(columns=[0]), "of no key"),
        (lambda: ClipObservation(stretch=0.0), "stretch is above 0"),
        (lambda: ObservationNoise(scale=-1.0), "at least 0"),
        (lambda: ObservationDropout(rate=1.0), r"\[0, 1\)"),
    ],
)
def test_what_does_not_fit_is_told(make: object, fault: str) -> None:
    with pytest.raises(PolicyError, match=fault):
        Chain([make()], SHAPES)  # type: ignore[operator]

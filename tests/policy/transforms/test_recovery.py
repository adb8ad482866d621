"""Starts off the path, and the steps that lead back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms import Chain, Recovery, SinCos

SHAPES = {"state": (4,), "goal": (2,), "action": (3,)}
N_OBS_STEPS = 2
FARTHEST = 0.1


def windows(n: int, horizon: int, gain: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return windows of a robot that steps by gain times columns 2 and 0 of its action."""
    generator = torch.Generator().manual_seed(seed)
    action = FARTHEST * (2 * torch.rand(n, horizon, 3, generator=generator) - 1)
    start = 2 * torch.rand(n, 2, generator=generator) - 1
    second = start + gain * action[:, 0, [2, 0]]
    state = torch.randn(n, N_OBS_STEPS, 4, generator=generator)
    state[..., [1, 3]] = torch.stack([start, second], 1)
    goal = torch.randn(n, N_OBS_STEPS, 2, generator=generator)
    return {"state": state, "goal": goal}, action


def chain(scale: float, gain: list[float]) -> Chain:
    """Return a chain that moves a robot; it has seen places in [-1, 1] and all steps."""
    made = Chain([Recovery("state", [1, 3], [2, 0], scale=scale, gain=gain)], SHAPES)
    edges = torch.tensor([-1.0, 1.0])[:, None, None]
    obs = {"state": edges.expand(2, 2, 4), "goal": edges.expand(2, 2, 2)}
    made.watch(obs, FARTHEST * edges.expand(2, 8, 3))
    return made


def places(obs: dict[str, Tensor], action: Tensor, gain: Tensor) -> Tensor:
    """Return where the robot is after each step from now on."""
    start = obs["state"][:, -1:, [1, 3]]
    return start + gain * action[:, N_OBS_STEPS - 1 :, [2, 0]].cumsum(1)


@given(seed=st.integers(0, 2**31), gains=st.tuples(*[st.sampled_from([0.5, 1.0, -2.0])] * 2))
def test_the_steps_lead_back_to_the_recorded_path(seed: int, gains: tuple[float, float]) -> None:
    gain = torch.tensor(gains)
    obs, action = windows(8, 40, gain, seed)
    generator = torch.Generator().manual_seed(seed)
    displaced, returning = chain(0.05, list(gains)).augment(obs, action, generator)

    before = places(obs, action, gain)
    after = places(displaced, returning, gain)
    off = (displaced["state"] - obs["state"])[:, -1, [1, 3]].abs()
    assert (off > 0).all()
    missing = (after - before).abs()
    assert (missing[:, 1:] <= missing[:, :-1] + 1e-5).all()  # never farther than before
    # Steps are even between the bounds: each has room for a sixth of the longest, on the average.
    assert (missing[:, -1].mean(0) <= 0.01 * gain.abs() + 1e-4).all()


def test_no_step_is_longer_than_those_seen() -> None:
    obs, action = windows(200, 16, torch.ones(2), seed=0)
    _, returning = chain(0.5, [1.0, 1.0]).augment(obs, action, torch.Generator().manual_seed(1))
    assert returning.abs().max() <= FARTHEST


def test_a_recorded_step_that_is_longer_than_those_seen_stays() -> None:
    made = chain(0.0, [1.0, 1.0])
    obs, action = windows(3, 8, torch.ones(2), seed=0)
    _, returning = made.augment(obs, 5 * action, torch.Generator().manual_seed(1))
    assert torch.equal(returning, 5 * action)


def test_the_history_moves_as_a_whole_and_everything_else_stays() -> None:
    obs, action = windows(5, 8, torch.ones(2), seed=0)
    kept = {key: value.clone() for key, value in obs.items()}
    given_action = action.clone()
    displaced, returning = chain(0.1, [1.0, 1.0]).augment(
        obs, action, torch.Generator().manual_seed(0)
    )

    moved = displaced["state"] - obs["state"]
    torch.testing.assert_close(moved[:, 0], moved[:, 1])
    assert (moved[..., [0, 2]] == 0).all()
    assert displaced["goal"] is obs["goal"]
    assert torch.equal(returning[:, : N_OBS_STEPS - 1], action[:, : N_OBS_STEPS - 1])
    assert torch.equal(returning[..., 1], action[..., 1])
    assert torch.equal(action, given_action)
    assert all(torch.equal(obs[key], kept[key]) for key in obs)


def test_displacements_have_the_asked_for_deviation_in_halves_of_the_range() -> None:
    obs, action = windows(4000, 2, torch.ones(2), seed=0)
    displaced, _ = chain(0.05, [1.0, 1.0]).augment(obs, action, torch.Generator().manual_seed(0))
    moved = (displaced["state"] - obs["state"])[:, 0, [1, 3]]
    assert moved.std(0).tolist() == pytest.approx([0.05, 0.05], rel=0.05)


def test_it_works_on_recorded_windows_wherever_it_stands_in_the_chain() -> None:
    recovery = Recovery("state", [1, 3], [2, 0])
    made = Chain([SinCos("state", [1]), recovery], SHAPES)
    assert next(iter(made)) is recovery
    assert made.shapes["state"] == (5,)


def test_running_and_validation_displace_nothing() -> None:
    made = chain(0.5, [1.0, 1.0])
    obs, action = windows(4, 8, torch.ones(2), seed=0)
    assert all(torch.equal(value, obs[key]) for key, value in made.observe(obs).items())
    assert torch.equal(made.write(action, obs), action)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"key_columns": [1]}, "every column of the action moves one of the observation"),
        ({"gain": [1.0]}, "by one gain"),
        ({"gain": [1.0, 0.0]}, "a gain of 0 moves nothing"),
        ({"scale": -0.1}, "the scale of the displacement is at least 0"),
        ({"scale": float("nan")}, "the scale of the displacement is at least 0"),
        ({"key": "stat"}, "did you mean 'state'"),
        ({"key": "action"}, "action"),
        ({"columns": [0, 3]}, "'action' has no column 3"),
        ({"key_columns": [1, 1]}, "hold one twice"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, object], fault: str) -> None:
    fitting = {"key": "state", "key_columns": [1, 3], "columns": [2, 0]}
    with pytest.raises(PolicyError, match=fault):
        Chain([Recovery(**{**fitting, **given})], SHAPES)  # type: ignore[arg-type]

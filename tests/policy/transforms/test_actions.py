"""Every form of actions goes there and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_frames import poses, same_poses
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms import (
    Chain,
    CumulativeAction,
    DeltaAction,
    RelativeAction,
    SinCos,
    Transform,
)

TO, H = 3, 8
SHAPES = {"obs": (4,), "action": (3,)}
FORMS: dict[str, list[Transform]] = {
    "absolute": [],
    "relative": [RelativeAction("obs", [0, 1], [0, 2])],
    "delta": [DeltaAction("obs", [3, 1], [1, 2])],
    "cumulative": [CumulativeAction([0, 2])],
    "delta of some, relative others": [
        DeltaAction("obs", [3], [1]),
        RelativeAction("obs", [0, 1], [0, 2]),
    ],
    "in the robot's frame": [RelativeAction("obs", [0, 1, 2], [0, 1], form="planar")],
    "a pose in the robot's frame": [RelativeAction("obs", [0, 1, 2], [0, 1, 2], form="planar")],
    "an angle": [SinCos("action", [1])],
    "an angle relative to now": [
        RelativeAction("obs", [2], [1], angles=[1]),
        SinCos("action", [1]),
    ],
    "steps of an angle": [DeltaAction("obs", [2], [1], angles=[1])],
}


def window(seed: int, scale: float = 1.0) -> tuple[dict[str, Tensor], Tensor]:
    """Return observations and actions, angles within half a turn."""
    generator = torch.Generator().manual_seed(seed)
    obs = scale * torch.randn(2, TO, 4, generator=generator, dtype=torch.float64)
    action = scale * torch.randn(2, H, 3, generator=generator, dtype=torch.float64)
    return {"obs": obs.clamp(-3, 3)}, action.clamp(-3, 3)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**20), scale=st.floats(1e-3, 2.0))
def test_actions_come_back_as_they_were(name: str, seed: int, scale: float) -> None:
    chain = Chain(FORMS[name], SHAPES)
    obs, action = window(seed, scale)
    if chain.changes_action:
        chain.recorded.widen("action", torch.tensor([[[-3.0] * 3, [3.0] * 3]]))
    written = chain.write(action, obs)
    assert written.shape[-1] == chain.shapes["action"][0]
    torch.testing.assert_close(chain.read(written, obs), action, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**20))
def test_what_the_network_writes_is_read_and_written_again_alike(name: str, seed: int) -> None:
    chain = Chain(FORMS[name], SHAPES)
    if any(isinstance(each, SinCos) for each in chain):
        return  # a pair of any length is read as its angle
    obs, written = window(seed)
    if chain.changes_action:
        chain.recorded.widen("action", torch.tensor([[[-9.0] * 3, [9.0] * 3]]))
    again = chain.write(chain.read(written, obs), obs)
    torch.testing.assert_close(again, written, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", list(FORMS)[1:])
def test_the_given_action_is_not_written_upon(name: str) -> None:
    chain = Chain(FORMS[name], SHAPES)
    obs, action = window(0)
    before = action.clone(), obs["obs"].clone()
    written = chain.write(action, obs)
    copy = written.clone()
    chain.read(written, obs)
    assert torch.equal(action, before[0])
    assert torch.equal(obs["obs"], before[1])
    assert torch.equal(written, copy)


def one(values: Sequence[float]) -> Tensor:
    """Return a chunk of one dimension."""
    return torch.tensor(values)[None, :, None]


def test_relative_actions_count_from_the_present_observation() -> None:
    transform = RelativeAction("obs", [0], [0])
    obs = {"obs": one([10.0, 20.0])}
    assert transform.write(one([11.0, 21.0, 23.0]), obs).flatten().tolist() == [-9, 1, 3]


def test_steps_count_from_what_was_observed_and_then_from_the_action_before() -> None:
    transform = DeltaAction("obs", [0], [0])
    obs = {"obs": one([10.0, 20.0])}
    written = transform.write(one([11.0, 21.0, 23.0, 26.0]), obs)
    assert written.flatten().tolist() == [1, 1, 2, 3]


def test_an_error_of_a_past_step_does_not_move_the_steps_to_come() -> None:
    transform = DeltaAction("obs", [0], [0])
    obs = {"obs": one([10.0, 20.0])}
    read = transform.read(one([100.0, 1.0, 2.0, 3.0]), obs)
    assert read.flatten().tolist() == [110, 21, 23, 26]


def test_a_sum_of_steps_begins_now() -> None:
    transform = CumulativeAction([0])
    obs = {"obs": one([0.0, 0.0])}
    assert transform.write(one([1.0, 2.0, 3.0, 4.0]), obs).flatten().tolist() == [1, 2, 5, 9]


@pytest.mark.parametrize("form", ["quaternion", "quaternion_xyzw", "rotation_6d"])
def test_poses_of_space_come_back_as_the_same_poses(form: str) -> None:
    now = poses(form, 4, seed=0)
    size = now.shape[1]
    columns = list(range(size))
    chain = Chain(
        [RelativeAction("obs", columns, columns, form=form)], {"obs": (size,), "action": (size,)}
    )
    obs = {"obs": now[:, None]}
    action = poses(form, 20, seed=1).view(4, 5, size)
    back = chain.read(chain.write(action, obs), obs)
    same_poses(form, back, action)


@pytest.mark.parametrize("form", ["planar", "quaternion", "rotation_6d"])
def test_actions_in_the_robots_frame_do_not_change_with_a_motion_of_the_world(form: str) -> None:
    from kinoise.policy.transforms.frames import FRAMES

    frame = FRAMES[form]
    now, action = poses(form, 4, seed=0), poses(form, 4, seed=1)
    motion = poses(form, 1, seed=2)
    columns = list(range(now.shape[1]))
    transform = RelativeAction("obs", columns, columns, form=form)
    written = [
        transform.write(value[:, None], {"obs": pose[:, None]})
        for value, pose in (
            (action, now),
            (frame.absolute(action, motion), frame.absolute(now, motion)),
        )
    ]
    torch.testing.assert_close(*written, rtol=0, atol=1e-9)


@settings(max_examples=30)
@given(
    middle=st.floats(-10, 10),
    offset=st.floats(-3, 3),
    now=st.floats(-20, 20),
)
def test_an_angle_comes_back_within_the_turn_of_the_data(
    middle: float, offset: float, now: float
) -> None:
    chain = Chain([RelativeAction("obs", [2], [1], angles=[1])], SHAPES).double()
    chain.recorded.widen("action", torch.tensor([[[0.0, middle - 3, 0], [1, middle + 3, 1]]]))
    action = torch.tensor([0.5, middle + offset, 0.5], dtype=torch.float64).expand(1, H, 3)
    obs = {"obs": torch.full((1, TO, 4), now, dtype=torch.float64)}
    written = chain.write(action, obs)
    assert written[..., 1].abs().max() <= math.pi + 1e-6
    torch.testing.assert_close(chain.read(written, obs), action, rtol=0, atol=1e-5)


def test_an_angle_that_is_counted_over_several_turns_stays_near_the_observed_one() -> None:
    chain = Chain([RelativeAction("obs", [2], [1], angles=[1])], SHAPES)
    chain.recorded.widen("action", torch.tensor([[[0.0, -10, 0], [1, 10, 1]]]))
    action = torch.full((1, H, 3), 8.5)
    obs = {"obs": torch.full((1, TO, 4), 8.0)}
    torch.testing.assert_close(chain.read(chain.write(action, obs), obs), action)


@pytest.mark.parametrize(
    ("transform", "fault"),
    [
        (lambda: RelativeAction("ob", [0], [0]), "did you mean 'obs'"),
        (lambda: RelativeAction("obs", [0], [3]), "'action' has no column 3; did you mean 2"),
        (lambda: RelativeAction("obs", [0, 1], [0]), "cannot be relative"),
        (lambda: RelativeAction("obs", [0], [0], form="plane"), "did you mean 'planar'"),
        (lambda: RelativeAction("obs", [0], [0], angles=[1]), r"angles \[1\] are not among"),
        (lambda: DeltaAction("obs", [0, 9], [0, 1]), "has no column 9"),
        (lambda: CumulativeAction([5]), "has no column 5"),
    ],
)
def test_what_does_not_fit_is_told(transform: object, fault: str) -> None:
    with pytest.raises(PolicyError, match=fault):
        Chain([transform()], SHAPES)  # type: ignore[operator]

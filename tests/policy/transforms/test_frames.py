"""Poses from one another's frames: exact inverses, and one answer wherever the world stands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms.angles import wrapped
from kinoise.policy.transforms.frames import FRAMES

FORMS = [form for form in FRAMES if form != "position"]


def poses(form: str, n: int, seed: int) -> Tensor:
    """Return random poses [n, size] of a form, rotations well formed."""
    generator = torch.Generator().manual_seed(seed)
    frame = FRAMES[form]
    value = torch.randn(n, frame.dims + frame.n_rotation, generator=generator, dtype=torch.float64)
    rotation = value[:, frame.dims :]
    if form == "rotation_6d":
        rotation = frame.matrix(rotation)[..., :2].transpose(-1, -2).flatten(1)
    elif form != "planar":
        rotation = rotation / rotation.norm(dim=1, keepdim=True)
    return torch.cat([value[:, : frame.dims], rotation], 1)


def same_poses(form: str, a: Tensor, b: Tensor) -> None:
    """Assert that poses are the same, whatever numbers stand for their rotations."""
    frame = FRAMES[form]
    d = frame.dims
    torch.testing.assert_close(a[..., :d], b[..., :d])
    torch.testing.assert_close(frame.matrix(a[..., d:]), frame.matrix(b[..., d:]))


@pytest.mark.parametrize("form", FORMS)
def test_absolute_undoes_relative(form: str) -> None:
    frame = FRAMES[form]
    pose, reference = poses(form, 50, seed=0), poses(form, 50, seed=1)
    same_poses(form, frame.absolute(frame.relative(pose, reference), reference), pose)
    point = pose[:, : frame.dims]
    back = frame.absolute(frame.relative(point, reference), reference)
    torch.testing.assert_close(back, point)


@pytest.mark.parametrize("form", FORMS)
def test_a_rigid_motion_of_everything_changes_no_relative_pose(form: str) -> None:
    frame = FRAMES[form]
    pose, reference, motion = (poses(form, 50, seed) for seed in range(3))
    moved = frame.absolute(pose, motion)
    moved_reference = frame.absolute(reference, motion)
    before = frame.relative(pose, reference)
    after = frame.relative(moved, moved_reference)
    difference = after - before
    if form == "planar":
        difference[:, 2] = wrapped(difference[:, 2])
    torch.testing.assert_close(difference, torch.zeros_like(difference), rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_pose_seen_from_itself_is_at_the_origin_and_not_turned(form: str) -> None:
    frame = FRAMES[form]
    pose = poses(form, 20, seed=0)
    seen = frame.relative(pose, pose)
    torch.testing.assert_close(seen[:, : frame.dims], torch.zeros(20, frame.dims).double())
    identity = torch.eye(frame.dims, dtype=torch.float64).expand(20, -1, -1)
    torch.testing.assert_close(frame.matrix(seen[:, frame.dims :]), identity)


def test_a_point_ahead_of_a_robot_that_looks_left_is_ahead_of_it() -> None:
    # At (1, 2), looking along +y; the point is 3 further along.
    robot = torch.tensor([1.0, 2.0, torch.pi / 2])
    seen = FRAMES["planar"].relative(torch.tensor([1.0, 5.0]), robot)
    torch.testing.assert_close(seen, torch.tensor([3.0, 0.0]), rtol=0, atol=1e-6)


def test_a_heading_across_the_end_of_a_turn_is_seen_the_short_way() -> None:
    robot = torch.tensor([0.0, 0.0, 3.0])
    seen = FRAMES["planar"].relative(torch.tensor([0.0, 0.0, -3.0]), robot)
    torch.testing.assert_close(seen[2], torch.tensor(2 * torch.pi - 6.0), rtol=0, atol=1e-6)


def test_the_forms_of_space_agree() -> None:
    quaternion = FRAMES["quaternion"]
    pose, reference = poses("quaternion", 20, seed=0), poses("quaternion", 20, seed=1)
    seen = quaternion.relative(pose, reference)

    def as_6d(value: Tensor) -> Tensor:
        columns = quaternion.matrix(value[:, 3:])[..., :2].transpose(-1, -2).flatten(1)
        return torch.cat([value[:, :3], columns], 1)

    def scalar_last(value: Tensor) -> Tensor:
        return torch.cat([value[:, :3], value[:, 4:], value[:, 3:4]], 1)

    found = FRAMES["rotation_6d"].relative(as_6d(pose), as_6d(reference))
    torch.testing.assert_close(found, as_6d(seen))
    found = FRAMES["quaternion_xyzw"].relative(scalar_last(pose), scalar_last(reference))
    torch.testing.assert_close(found, scalar_last(seen))


@pytest.mark.parametrize("form", ["quaternion", "quaternion_xyzw"])
def test_a_quaternion_and_its_opposite_look_the_same(form: str) -> None:
    frame = FRAMES[form]
    pose, reference = poses(form, 20, seed=0), poses(form, 20, seed=1)
    for_opposite = pose * torch.tensor([1.0] * 3 + [-1.0] * 4).double()
    from_opposite = reference * torch.tensor([1.0] * 3 + [-1.0] * 4).double()
    seen = frame.relative(pose, reference)
    torch.testing.assert_close(frame.relative(for_opposite, reference), seen)
    torch.testing.assert_close(frame.relative(pose, from_opposite), seen)


@pytest.mark.parametrize(
    ("form", "n_columns", "n_reference"),
    [("planar", 4, 3), ("planar", 2, 2), ("quaternion", 7, 6), ("position", 3, 2)],
)
def test_columns_that_make_no_pose_are_refused(form: str, n_columns: int, n_reference: int) -> None:
    with pytest.raises(PolicyError, match="columns"):
        FRAMES[form].check(n_columns, n_reference, form)

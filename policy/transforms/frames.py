"""Poses of the plane and of space, seen from another pose and back.

A pose is a position and then a rotation; which numbers make the rotation is its form:

position        any number of coordinates, no rotation
planar          x, y, angle
quaternion      x, y, z, then w, x, y, z as in MuJoCo
quaternion_xyzw x, y, z, then x, y, z, w as in ROS
rotation_6d     x, y, z, then the first two columns of the rotation matrix (Zhou et al. 2019)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import PolicyError
from .angles import wrapped

#: Poses or points, by their numbers.
Values = Float[Tensor, "... _"]
#: Rotation matrices.
Rotations = Float[Tensor, "... _ _"]


class Frame(ABC):
    """How poses of one form are seen from one another.

    Attributes:
        dims: coordinates of a position; 0 for any number.
        n_rotation: numbers of a rotation.
    """

    dims: int
    n_rotation: int

    @abstractmethod
    def matrix(self, rotation: Values) -> Rotations:
        """Return the matrix of a rotation."""

    @abstractmethod
    def turned_back(self, rotation: Values, by: Values) -> Values:
        """Return a rotation as seen from another: its inverse, then the rotation."""

    @abstractmethod
    def turned(self, rotation: Values, by: Values) -> Values:
        """Return a rotation that was seen from another: the inverse of `turned_back`."""

    def check(self, n_columns: int, n_reference: int, name: str) -> None:
        """Raise PolicyError where numbers of columns make no pose, nor point, of this form."""
        pose = self.dims + self.n_rotation
        if n_reference != pose:
            raise PolicyError(f"a {name} pose to refer to has {pose} columns; got {n_reference}")
        if n_columns not in (self.dims, pose):
            raise PolicyError(
                f"a {name} pose has {pose} columns and a point {self.dims}; got {n_columns}"
            )

    def relative(self, value: Values, reference: Values) -> Values:
        """Return a pose or a point as seen from the reference."""
        d = self.dims
        rotation = self.matrix(reference[..., d:])
        # By sums of products: a matmul would lose millimetres under autocast.
        offset = (value[..., :d] - reference[..., :d])[..., :, None]
        position = (rotation * offset).sum(-2)
        if value.shape[-1] == d:
            return position
        return torch.cat([position, self.turned_back(value[..., d:], reference[..., d:])], -1)

    def absolute(self, value: Values, reference: Values) -> Values:
        """Return a pose or a point that was seen from the reference: the inverse of `relative`."""
        d = self.dims
        rotation = self.matrix(reference[..., d:])
        position = (rotation * value[..., None, :d]).sum(-1) + reference[..., :d]
        if value.shape[-1] == d:
            return position
        return torch.cat([position, self.turned(value[..., d:], reference[..., d:])], -1)


class Position(Frame):
    """Coordinates alone: what is relative is their difference."""

    dims = 0
    n_rotation = 0

    def check(self, n_columns: int, n_reference: int, name: str) -> None:
        if n_columns != n_reference:
            raise PolicyError(
                f"{n_columns} columns cannot be relative to {n_reference}; give as many of each, "
                "or the form of the pose"
            )

    def matrix(self, rotation: Values) -> Rotations:
        raise NotImplementedError  # there is none

    def turned_back(self, rotation: Values, by: Values) -> Values:
        return rotation

    def turned(self, rotation: Values, by: Values) -> Values:
        return rotation

    def relative(self, value: Values, reference: Values) -> Values:
        return value - reference

    def absolute(self, value: Values, reference: Values) -> Values:
        return value + reference


class Planar(Frame):
    """Poses of the plane."""

    dims = 2
    n_rotation = 1

    def matrix(self, rotation: Values) -> Rotations:
        cos = rotation.cos()
        sin = rotation.sin()
        return _split(torch.cat([cos, -sin, sin, cos], -1), 2, 2)

    def turned_back(self, rotation: Values, by: Values) -> Values:
        return wrapped(rotation - by)

    def turned(self, rotation: Values, by: Values) -> Values:
        return wrapped(rotation + by)


@dataclass(frozen=True)
class Quaternion(Frame):
    """Poses of space with unit quaternions, of which q and -q are one rotation.

    Args:
        scalar_last: whether w is the last of the four numbers.
    """

    scalar_last: bool = False
    dims = 3
    n_rotation = 4

    def matrix(self, rotation: Values) -> Rotations:
        w, x, y, z = self._unit(rotation).unbind(-1)
        rows = [
            *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ]
        return _split(torch.stack(rows, -1), 3, 3)

    def turned_back(self, rotation: Values, by: Values) -> Values:
        """Return the relative quaternion, its w not negative: one rotation has one reading."""
        inverse = self._unit(by) * by.new_tensor([1.0, -1.0, -1.0, -1.0])
        product = _product(inverse, self._first(rotation))
        return self._own(torch.where(product[..., :1] < 0, -product, product))

    def turned(self, rotation: Values, by: Values) -> Values:
        """Return the quaternion on the side of the one that it was seen from."""
        reference = self._unit(by)
        product = _product(reference, self._first(rotation))
        agreement = (product * reference).sum(-1, keepdim=True)
        return self._own(torch.where(agreement < 0, -product, product))

    def _unit(self, rotation: Values) -> Values:
        """Return quaternions of length 1, w first."""
        first = self._first(rotation)
        return torch.nn.functional.normalize(first, dim=-1)

    def _first(self, rotation: Values) -> Values:
        """Return quaternions with w first."""
        return rotation.roll(1, -1) if self.scalar_last else rotation

    def _own(self, rotation: Values) -> Values:
        """Return quaternions, given with w first, in the order of this form."""
        return rotation.roll(-1, -1) if self.scalar_last else rotation


class Rotation6D(Frame):
    """Poses of space with the first two columns of the rotation matrix (Zhou et al. 2019)."""

    dims = 3
    n_rotation = 6

    def matrix(self, rotation: Values) -> Rotations:
        first = torch.nn.functional.normalize(rotation[..., :3], dim=-1)
        rest = rotation[..., 3:]
        rest = rest - (first * rest).sum(-1, keepdim=True) * first
        second = torch.nn.functional.normalize(rest, dim=-1)
        return torch.stack([first, second, torch.linalg.cross(first, second)], -1)

    def turned_back(self, rotation: Values, by: Values) -> Values:
        matrix = self.matrix(by)[..., None, :, :]
        columns = _split(rotation, 2, 3)[..., :, None]
        return (matrix * columns).sum(-2).flatten(-2)

    def turned(self, rotation: Values, by: Values) -> Values:
        matrix = self.matrix(by)[..., None, :, :]
        columns = _split(rotation, 2, 3)[..., None, :]
        return (matrix * columns).sum(-1).flatten(-2)


def _split(values: Values, rows: int, columns: int) -> Rotations:
    """Return the last axis as a matrix."""
    return values.reshape(*values.shape[:-1], rows, columns)


def _product(a: Values, b: Values) -> Values:
    """Return the products of quaternions, w first."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    parts = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return torch.stack(parts, -1)


#: Form of a pose -> how it is seen from another.
FRAMES: dict[str, Frame] = {
    "position": Position(),
    "planar": Planar(),
    "quaternion": Quaternion(),
    "quaternion_xyzw": Quaternion(scalar_last=True),
    "rotation_6d": Rotation6D(),
}

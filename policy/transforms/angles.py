"""Angles without a jump: sine and cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations, Shapes
from .transform import ACTION, Actions, Transform, check_columns, flat


@dataclass(frozen=True)
class SinCos(Transform):
    """Writes wrapping angles as sine and cosine, which have no jump at the end of a turn.

    The sine takes the angle's place and the cosine is appended, so other columns keep their
    numbers. An action's angle is read back as the angle of the pair, within the turn that the data
    were recorded in.

    Args:
        key: the observation, or `action`.
        columns: the angles, in radians.
    """

    key: str
    columns: Sequence[int]

    @property
    def changes_action(self) -> bool:
        return self.key == ACTION

    @property
    def mixes_columns(self) -> bool:
        return self.changes_action

    @property
    def angles(self) -> Sequence[int]:
        return self.columns if self.changes_action else ()

    def connect(self, shapes: Shapes) -> Shapes:
        size = check_columns(shapes, self.key, self.columns)
        return {**shapes, self.key: (size + len(self.columns),)}

    def observe(self, obs: Observations) -> Observations:
        if self.changes_action:
            return obs
        return {**obs, self.key: self._split(flat(obs, self.key))}

    def write(self, action: Actions, obs: Observations) -> Actions:
        return self._split(action) if self.changes_action else action

    def read(self, action: Actions, obs: Observations) -> Actions:
        if not self.changes_action:
            return action
        n = action.shape[-1] - len(self.columns)
        value = action[..., :n].clone()
        columns = list(self.columns)
        value[..., columns] = torch.atan2(action[..., columns], action[..., n:])
        return value

    def _split(self, value: Float[Tensor, "... n"]) -> Float[Tensor, "... m"]:
        """Return values with the sine in an angle's place and the cosines at the end."""
        columns = list(self.columns)
        angles = value[..., columns]
        value = value.clone()
        value[..., columns] = angles.sin()
        return torch.cat([value, angles.cos()], -1)


def wrapped(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return angles within half a turn of zero; those that are there stay bitwise as they are."""
    turn = 2 * math.pi
    return angle - turn * (angle / turn).round()

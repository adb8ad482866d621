"""Actions as the network writes them: relative to now, as steps, or as a sum of steps.

Chunks begin To - 1 steps before now. The relative form refers all of a chunk to the present
observation. The two others refer each step that is past, and the present one, to the observation
of that step, and only what is still to come to the action before it, so nothing adds up over
actions that have been executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations, Shapes
from ..errors import PolicyError, unknown_name
from .angles import wrapped
from .frames import FRAMES
from .transform import ACTION, Actions, Transform, check_columns, flat


class ActionTransform(Transform):
    """A transform of actions whose range grows, or is another, along the chunk."""

    @property
    def changes_action(self) -> bool:
        return True

    @property
    def differs_by_step(self) -> bool:
        return True


@dataclass(frozen=True)
class RelativeAction(ActionTransform):
    """Writes actions as seen from the robot's present pose: relative to now.

    Args:
        key: the observation that the actions refer to, such as the robot's measured position.
        key_columns: the present pose in it.
        columns: those of the action; a pose or a point.
        form: of the pose, a key of `FRAMES`; "position" subtracts and does not rotate.
        angles: which of the action's columns wrap around, in radians; under "planar" the angle
            always does.

    Raises:
        PolicyError: an unknown form.
    """

    key: str
    key_columns: Sequence[int]
    columns: Sequence[int]
    form: str = "position"
    angles: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.form not in FRAMES:
            raise unknown_name("form of poses", self.form, FRAMES)
        if self.form == "planar":
            object.__setattr__(self, "angles", sorted({*self.angles, *self.columns[2:]}))

    @property
    def mixes_columns(self) -> bool:
        return self.form != "position"

    @property
    def rotations(self) -> Sequence[int]:
        return self.columns[3:] if self.form not in ("position", "planar") else ()

    def connect(self, shapes: Shapes) -> Shapes:
        check_columns(shapes, self.key, self.key_columns)
        check_columns(shapes, ACTION, self.columns)
        _check_angles(self.angles, self.columns)
        FRAMES[self.form].check(len(self.columns), len(self.key_columns), self.form)
        return shapes

    def write(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        now = self._now(obs, action)
        written = action.clone()
        written[..., columns] = FRAMES[self.form].relative(action[..., columns], now)
        return _with_wrapped(written, self.angles)

    def read(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        now = self._now(obs, action)
        read = action.clone()
        read[..., columns] = FRAMES[self.form].absolute(action[..., columns], now)
        return read

    def _now(self, obs: Observations, like: Actions) -> Float[Tensor, "B 1 n"]:
        """Return the present pose of every row."""
        return flat(obs, self.key)[:, -1:, list(self.key_columns)].to(like)


@dataclass(frozen=True)
class DeltaAction(ActionTransform):
    """Writes absolute actions as steps: each less the one before it.

    Args:
        key: the observation that the actions refer to, such as the robot's measured position.
        key_columns: the number in it for each of the action's columns.
        columns: those of the action.
        angles: which of them wrap around, in radians.
    """

    key: str
    key_columns: Sequence[int]
    columns: Sequence[int]
    angles: Sequence[int] = ()

    @property
    def mixes_columns(self) -> bool:
        return True

    def connect(self, shapes: Shapes) -> Shapes:
        check_columns(shapes, self.key, self.key_columns)
        check_columns(shapes, ACTION, self.columns)
        _check_angles(self.angles, self.columns)
        FRAMES["position"].check(len(self.columns), len(self.key_columns), "position")
        return shapes

    def write(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        absolute = action[..., columns]
        seen = self._seen(obs, action)
        before = torch.cat([seen, absolute[:, seen.shape[1] - 1 : -1]], 1)
        written = action.clone()
        written[..., columns] = absolute - before
        return _with_wrapped(written, self.angles)

    def read(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        seen = self._seen(obs, action)
        now = seen.shape[1] - 1
        steps = action[..., columns]
        past = seen[:, :now] + steps[:, :now]
        read = action.clone()
        read[..., columns] = torch.cat([past, seen[:, now:] + steps[:, now:].cumsum(1)], 1)
        return read

    def _seen(self, obs: Observations, like: Actions) -> Float[Tensor, "B To n"]:
        """Return what was observed at the first To steps of the chunk."""
        return flat(obs, self.key)[..., list(self.key_columns)].to(like)


@dataclass(frozen=True)
class CumulativeAction(ActionTransform):
    """Writes actions that are steps as their sum since now: where the robot will have got to.

    For data whose actions are relative already. Steps that are past stay as they are.

    Args:
        columns: those of the action that are steps.
    """

    columns: Sequence[int]

    @property
    def mixes_columns(self) -> bool:
        return True

    def connect(self, shapes: Shapes) -> Shapes:
        check_columns(shapes, ACTION, self.columns)
        return shapes

    def write(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        now = _now(obs)
        written = action.clone()
        written[:, now:, columns] = action[:, now:, columns].cumsum(1)
        return written

    def read(self, action: Actions, obs: Observations) -> Actions:
        columns = list(self.columns)
        now = _now(obs)
        sums = action[:, now:, columns]
        read = action.clone()
        read[:, now:, columns] = torch.cat([sums[:, :1], sums.diff(dim=1)], 1)
        return read


def _now(obs: Observations) -> int:
    """Return the index of the present step in a chunk, To - 1."""
    return next(iter(obs.values())).shape[1] - 1


def _check_angles(angles: Sequence[int], columns: Sequence[int]) -> None:
    """Raise PolicyError for angles that are not among the columns."""
    others = sorted(set(angles) - set(columns))
    if others:
        raise PolicyError(f"the angles {others} are not among the action's columns {list(columns)}")


def _with_wrapped(action: Actions, angles: Sequence[int]) -> Actions:
    """Return actions, which this may change, with their angles within half a turn of zero."""
    if angles:
        columns = list(angles)
        action[..., columns] = wrapped(action[..., columns])
    return action

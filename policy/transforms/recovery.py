"""Starts off the demonstrated path, with the actions that lead back to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations, Shapes
from ..errors import PolicyError
from .ranges import Ranges
from .transform import ACTION, Actions, Transform, check_columns, flat, size_of


class Recovery(Transform, torch.nn.Module):
    """Sets the robot off its path in training, with steps that lead back to where it went.

    Demonstrations that never err do not show how to mend an error, and a policy makes some in
    every chunk. Collecting them with a disturbed operator shows it (DART, Laskey et al. 2017);
    where an action is a step of known length, the same can be made of the recordings: the robot
    stands elsewhere, and the next steps make up for it, none longer than a recorded one.

    The other columns stay, so this holds as far as the robot alone is off, and by little. Absolute
    actions need no such steps, since they lead back as they are: `ObservationNoise` is enough.

    Args:
        key: the observation that says where the robot is.
        key_columns: the columns of it that the actions move, one for each of `columns`.
        columns: those of the action that are steps.
        scale: deviation of the displacement, in halves of the range that training has seen.
        gain: how far a step of one unit moves the robot: one number, or one a column.

    Raises:
        PolicyError: a negative scale, columns that do not go in pairs, or a gain of nothing.
    """

    ranges: Ranges

    def __init__(
        self,
        key: str,
        key_columns: Sequence[int],
        columns: Sequence[int],
        scale: float = 0.05,
        gain: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        gains = [float(gain)] * len(columns) if isinstance(gain, (int, float)) else list(gain)
        if len(key_columns) != len(columns) or len(gains) != len(columns):
            raise PolicyError(
                "every column of the action moves one of the observation, by one gain; got "
                f"columns {list(columns)}, key_columns {list(key_columns)}, gain {gain}"
            )
        if 0 in gains:
            raise PolicyError(f"a gain of 0 moves nothing; leave out its column (gain {gain})")
        if not scale >= 0:
            raise PolicyError(f"the scale of the displacement is at least 0; got {scale}")
        self.key = key
        self.key_columns = list(key_columns)
        self.columns = list(columns)
        self.scale = scale
        self.gains = gains

    @property
    def augments(self) -> bool:
        return True

    def connect(self, shapes: Shapes) -> Shapes:
        observed = {key: shape for key, shape in shapes.items() if key != ACTION}
        size = size_of(observed, self.key)
        check_columns(observed, self.key, self.key_columns)
        check_columns(shapes, ACTION, self.columns)
        self.ranges = Ranges({self.key: size, ACTION: int(shapes[ACTION][0])})
        return shapes

    def watch(self, obs: Observations, action: Actions) -> None:
        self.ranges.widen(self.key, flat(obs, self.key))
        self.ranges.widen(ACTION, action)

    def augment(
        self, obs: Observations, action: Actions, generator: torch.Generator | None
    ) -> tuple[Observations, Actions]:
        """Return windows in which the robot stands off its path, and the steps lead back to it."""
        before = flat(obs, self.key)
        low, high = (bound[self.key_columns] for bound in self.ranges.bounds(self.key))
        noise = torch.randn((len(before), len(self.columns)), generator=generator)
        offset = (self.scale * (high - low) / 2).to(before) * noise.to(before)

        displaced = before.clone()
        displaced[..., self.key_columns] += offset[:, None]

        now = before.shape[1] - 1
        steps = action[:, now:, self.columns]
        behind = offset.to(steps) / steps.new_tensor(self.gains)
        returning = action.clone()
        returning[:, now:, self.columns] = self._leading_back(steps, behind)
        return {**obs, self.key: displaced.reshape(obs[self.key].shape)}, returning

    def _leading_back(
        self, steps: Float[Tensor, "B n k"], ahead: Float[Tensor, "B k"]
    ) -> Float[Tensor, "B n k"]:
        """Return steps to the same places from a start that is `ahead`, none longer than seen."""
        low, high = (bound[self.columns].to(steps) for bound in self.ranges.bounds(ACTION))
        taken = []
        for step in steps.unbind(1):
            wanted = step - ahead
            # A step that is longer than those seen, as it was recorded, is not cut.
            held = wanted.clamp(torch.minimum(low, step), torch.maximum(high, step))
            ahead = held - wanted
            taken.append(held)
        return torch.stack(taken, 1)

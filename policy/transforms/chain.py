"""The transforms of a policy, one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from ..encoders.encoder import Observations, Shapes, is_image
from ..errors import PolicyError
from .angles import wrapped
from .ranges import Bounds, Ranges
from .transform import ACTION, Actions, Transform


class Chain(nn.Module):
    """Transforms applied in order; those of actions are undone in the opposite order.

    Those that make other windows of the recorded ones come first, wherever they stand.

    Args:
        transforms: by name or as a list; the names are for the reader alone.
        shapes: key -> shape of one value as it is recorded, observations and `action`.

    Attributes:
        shapes: the same of what comes out.
        changes_action: whether the network's action is another than the robot's.
        mixes_columns: whether a number of the network's chunk depends on several of the robot's.
        differs_by_step: whether the range of the network's actions depends on the step.

    Raises:
        PolicyError: what is no transform, or one that does not fit the shapes.
    """

    def __init__(
        self, transforms: Sequence[Transform] | Mapping[str, Transform], shapes: Shapes
    ) -> None:
        super().__init__()
        listed = transforms.values() if isinstance(transforms, Mapping) else transforms
        for each in listed:
            if not isinstance(each, Transform):
                raise PolicyError(f"transforms are of kinoise.policy.transforms; got {each!r:.60}")
        self._transforms = tuple(sorted(listed, key=lambda each: not each.augments))
        self.shapes = dict(shapes)
        for each in self._transforms:
            self.shapes = dict(each.connect(self.shapes))

        # Of the fitted ones the numbers are kept with the policy's weights.
        self.fitted = nn.ModuleList(t for t in self._transforms if isinstance(t, nn.Module))
        self.changes_action = any(each.changes_action for each in self._transforms)
        self.mixes_columns = any(each.mixes_columns for each in self._transforms)
        self.differs_by_step = any(each.differs_by_step for each in self._transforms)
        recorded = range(shapes[ACTION][0])
        self._angles = sorted({c for t in self._transforms for c in t.angles if c in recorded})
        self._rotations = sorted({c for t in self._transforms for c in t.rotations})
        if self.changes_action:
            self.recorded = Ranges({ACTION: len(recorded)})

    @property
    def obs_shapes(self) -> Shapes:
        """The shapes of the observations that the encoder reads."""
        return {key: shape for key, shape in self.shapes.items() if key != ACTION}

    def normalized_shapes(self, horizon: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of what is normalised: vectors, and actions or whole chunks of them.

        The range of relative actions grows along the chunk. With one range for all steps the
        first ones, which are those executed, would fill a few percent of it; with one a step each
        is resolved alike.

        Args:
            horizon: H.
        """
        vectors = {key: shape for key, shape in self.shapes.items() if not is_image(shape)}
        action = vectors.pop(ACTION)
        return {**vectors, ACTION: (horizon, *action) if self.differs_by_step else action}

    def __iter__(self) -> Iterator[Transform]:
        return iter(self._transforms)

    def __len__(self) -> int:
        return len(self._transforms)

    def watch(self, obs: Observations, action: Actions) -> tuple[Observations, Actions]:
        """Fit the transforms to a batch of training windows too; return it as they leave it."""
        seen = obs
        for each in self._transforms:
            each.watch(seen, action)
            seen = each.observe(seen)
        if self.changes_action:
            self.recorded.widen(ACTION, action)
        return seen, self.write(action, obs)

    def augment(
        self, obs: Observations, action: Actions, generator: torch.Generator | None
    ) -> tuple[Observations, Actions]:
        """Return recorded windows as training is to have them instead."""
        for each in self._transforms:
            obs, action = each.augment(obs, action, generator)
        return obs, action

    def observe(self, obs: Observations) -> Observations:
        """Return raw observations as the network is to see them."""
        for each in self._transforms:
            obs = each.observe(obs)
        return obs

    def disturb(self, obs: Observations, generator: torch.Generator | None) -> Observations:
        """Return raw observations as the network is to see them in training."""
        for each in self._transforms:
            obs = each.disturb(each.observe(obs), generator)
        return obs

    def write(self, action: Actions, obs: Observations) -> Actions:
        """Return the robot's actions as the network writes them."""
        for each in self._transforms:
            action = each.write(action, obs)
        return action

    def read(self, action: Actions, obs: Observations) -> Actions:
        """Return the robot's actions that the network wrote, angles in the turn of the data."""
        for each in reversed(self._transforms):
            action = each.read(action, obs)
        return self._in_recorded_turn(action) if self._angles else action

    def bounds(self, stretch: float) -> Bounds:
        """Return the range of recorded actions, stretched; none where they make up a rotation."""
        low, high = self.recorded.bounds(ACTION, stretch)
        if not self._rotations:
            return low, high
        free = torch.zeros_like(low, dtype=torch.bool)
        free[self._rotations] = True
        return low.masked_fill(free, -math.inf), high.masked_fill(free, math.inf)

    def _in_recorded_turn(self, action: Actions) -> Actions:
        """Return actions with their angles within half a turn of the middle of the data's.

        An angle that the data count over more than one turn stays as it is.
        """
        columns = self._angles
        low, high = (bound[columns] for bound in self.recorded.bounds(ACTION))
        middle = (low + high) / 2
        angles = action[..., columns]
        turned = middle + wrapped(angles - middle)
        one_turn = high - low < 2 * math.pi + 1e-3
        inside = (angles - middle).abs() <= math.pi
        action = action.clone()
        action[..., columns] = torch.where(one_turn & ~inside, turned, angles)
        return action

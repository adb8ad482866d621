"""What a transform is: a step between the data's own numbers and those of the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations, Shapes, is_image
from ..errors import PolicyError, unknown_name

#: The key of the actions among the shapes.
ACTION = "action"
#: Chunks of actions as the robot or as the network has them.
Actions = Float[Tensor, "B H _"]


class Transform(ABC):
    """Rewrites observations for the network, or actions for it and back.

    A transform of observations reads what the transforms before it left. One of actions reads raw
    observations: an action is relative to what the robot measures, not to what the network sees.
    Columns are those of a key's flattened value, and a transform leaves the others in their place.
    """

    @property
    def changes_action(self) -> bool:
        """Whether the network's action is another than the robot's."""
        return False

    @property
    def augments(self) -> bool:
        """Whether training has other windows than the recorded ones."""
        return False

    @property
    def mixes_columns(self) -> bool:
        """Whether a number of the network's chunk depends on several of the robot's."""
        return False

    @property
    def differs_by_step(self) -> bool:
        """Whether the range of the network's actions depends on the step of the chunk."""
        return False

    @property
    def angles(self) -> Sequence[int]:
        """Columns of the robot's action that wrap around."""
        return ()

    @property
    def rotations(self) -> Sequence[int]:
        """Columns of the robot's action that make up a rotation in space."""
        return ()

    @abstractmethod
    def connect(self, shapes: Shapes) -> Shapes:
        """Return the shapes of what comes out, given those of what goes in; called once.

        Args:
            shapes: key -> shape of one value, observations and `action`.

        Raises:
            PolicyError: a key or column that is not there.
        """

    def watch(self, obs: Observations, action: Actions) -> None:  # noqa: B027 (most fit nothing)
        """Take a batch of training windows into account, where numbers are fitted."""

    def augment(
        self, obs: Observations, action: Actions, generator: torch.Generator | None
    ) -> tuple[Observations, Actions]:
        """Return recorded windows as training is to have them instead."""
        return obs, action

    def observe(self, obs: Observations) -> Observations:
        """Return the observations `[B, To, ...]` as the network is to see them."""
        return obs

    def disturb(self, obs: Observations, generator: torch.Generator | None) -> Observations:
        """Return the observations as training is to see them besides."""
        return obs

    def write(self, action: Actions, obs: Observations) -> Actions:
        """Return the robot's actions as the network writes them, given raw observations."""
        return action

    def read(self, action: Actions, obs: Observations) -> Actions:
        """Return the robot's actions that the network wrote: the inverse of `write`."""
        return action


def size_of(shapes: Shapes, key: str) -> int:
    """Return how many columns a key has.

    Raises:
        PolicyError: there is no such key, or it is an image.
    """
    if key not in shapes:
        raise unknown_name("key to transform", key, shapes)
    if is_image(shapes[key]):
        raise PolicyError(f"'{key}' is an image; transforms are for vectors")
    return int(torch.Size(shapes[key]).numel())


def check_columns(shapes: Shapes, key: str, columns: Sequence[int]) -> int:
    """Return how many columns a key has, holding some of them to it.

    Raises:
        PolicyError: a key or column that is not there, or a column given twice.
    """
    size = size_of(shapes, key)
    if not columns:
        raise PolicyError(f"no columns of '{key}' to transform; give some of 0 to {size - 1}")
    for column in columns:
        if isinstance(column, bool) or not isinstance(column, int):
            raise PolicyError(f"columns of '{key}' are whole numbers; got {column!r}")
        if not 0 <= column < size:
            nearest = min(max(column, 0), size - 1)
            raise PolicyError(
                f"'{key}' has no column {column}; did you mean {nearest}? (it has 0 to {size - 1})"
            )
    if len(set(columns)) < len(columns):
        raise PolicyError(f"the columns {list(columns)} of '{key}' hold one twice")
    return size


def flat(obs: Observations, key: str) -> Float[Tensor, "B To n"]:
    """Return an observation's values flattened, as floats."""
    value = obs[key].flatten(2) if obs[key].ndim > 2 else obs[key][..., None]
    return value if value.is_floating_point() else value.float()

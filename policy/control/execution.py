"""How chunks become actions: the slot, and its default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations
from ..errors import PolicyError
from ..sampling import Table
from ..shapes import Chunks

#: Plans of one episode from the present step on, in units of the normalised actions.
Plans = Float[np.ndarray, "K n Da"]
#: What the chunk in execution says of the present step and the following ones, likewise.
Rest = Float[np.ndarray, "overlap Da"]


@runtime_checkable
class ChunkSource(Protocol):
    """What the controller asks for chunks, e.g. `policy.sample`."""

    def __call__(
        self,
        obs: Observations,
        generator: Sequence[torch.Generator],
        *,
        previous: Float[Tensor, "B H Da"] | None,
    ) -> Float[Tensor, "B H Da"]:
        """Return the chunks that are planned for the observations.

        Args:
            obs: raw histories of observations.
            generator: the source of noise of each row.
            previous: the chunks planned before, NaN where an episode begins; None where there is
                none at all.
        """


@runtime_checkable
class Planner(Protocol):
    """What an execution asks of a policy: see `DiffusionPolicy`."""

    horizon: int
    n_obs_steps: int
    n_action_steps: int
    table: Table

    def sample(
        self,
        obs: Observations,
        generator: Sequence[torch.Generator],
        *,
        previous: Chunks | None = None,
        start: float = 1.0,
    ) -> Chunks:
        """Return chunks of actions."""


class Execution:
    """How an episode's chunks become its actions.

    It holds settings alone: chunks, noise and history are the controller's. Nothing here needs
    another training.
    """

    @property
    def n_rows(self) -> int:
        """Chunks drawn for every plan, as rows of one call of the network."""
        return 1

    def source(self, policy: Planner) -> ChunkSource:
        """Return what samples the chunks of a policy for it.

        Raises:
            PolicyError: it does not fit the policy.
        """
        return policy.sample

    def n_evaluations(self, table: Table) -> int:
        """NFE: how often the network runs for one plan, once an episode is under way."""
        return table.n_evaluations

    def choose(self, plans: Plans, previous: Rest | None) -> int:
        """Return which of the plans is taken.

        Args:
            plans: drawn for the present observations.
            previous: what is left of the chunk in execution; None where an episode begins.
        """
        return 0

    def actions(
        self, chunks: Sequence[Float[np.ndarray, "H Da"]], first: int, n: int
    ) -> Float[np.ndarray, "{n} Da"]:
        """Return the next n actions.

        Args:
            chunks: those that reach to the present step or further, the newest last, each planned
                n steps after the one before.
            first: index of the present step in the newest.
            n: Ta.
        """
        return chunks[-1][first : first + n]


@dataclass(frozen=True)
class RecedingHorizon(Execution):
    """The newest chunk alone counts (Chi et al. 2023)."""


def check_overlap(policy: Planner, name: str) -> None:
    """Raise PolicyError where a policy's successive chunks have no step in common."""
    reach = policy.horizon - policy.n_obs_steps + 1
    if policy.n_action_steps >= reach:
        raise PolicyError(
            f"{name} needs successive chunks that overlap, and all {reach} steps of each are "
            f"executed; give n_action_steps below {reach}"
        )

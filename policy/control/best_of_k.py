"""Best of K: of several plans, the one that goes on with what was planned before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ..errors import PolicyError
from .execution import ChunkSource, Execution, Planner, Plans, Rest, check_overlap

#: Rows of one call of the network that a plan may take.
MOST = 1024


@dataclass(frozen=True)
class BestOfK(Execution):
    """Draws K plans in one call and takes the nearest to the rest of the chunk in execution.

    The backward coherence of bidirectional decoding (Liu et al. 2025): distances on the overlap,
    step tau weighing decay^tau. Of its forward contrast the positive samples are the plans' own
    company, which costs nothing; a weaker policy for the negative ones would cost as much again
    and is left out.

    Args:
        n_candidates: K.
        decay: rho in (0, 1].
        forward: weight of a plan's mean distance from the others; it prefers the common to the
            odd. 0 leaves that out.

    Raises:
        PolicyError: numbers that make no choice.
    """

    n_candidates: int = 16
    decay: float = 0.5
    forward: float = 0.0

    def __post_init__(self) -> None:
        whole = isinstance(self.n_candidates, int) and not isinstance(self.n_candidates, bool)
        if not whole or not 1 <= self.n_candidates <= MOST:
            raise PolicyError(
                f"execution.n_candidates is a whole number from 1 to {MOST}; "
                f"got {self.n_candidates!r}"
            )
        if not 0 < self.decay <= 1:
            raise PolicyError(f"execution.decay lies above 0 and up to 1; got {self.decay}")
        if not 0 <= self.forward < float("inf"):
            raise PolicyError(f"execution.forward is a number of at least 0; got {self.forward}")

    @property
    def n_rows(self) -> int:
        """See Execution."""
        return self.n_candidates

    def source(self, policy: Planner) -> ChunkSource:
        """See Execution."""
        check_overlap(policy, "best of K")
        return super().source(policy)

    def choose(self, plans: Plans, previous: Rest | None) -> int:
        """See Execution; equal plans leave the first."""
        cost = np.zeros(len(plans))
        if previous is not None:
            cost += self._distance(plans[:, : len(previous)], previous)
        if self.forward:
            apart = [self._distance(plans, plan) for plan in plans]
            cost += self.forward * np.mean(apart, 0)
        return int(cost.argmin())

    def _distance(self, plans: Plans, plan: Rest) -> Float64[np.ndarray, "K"]:
        """Return how far each plan lies from another one of the same length."""
        weights = self.decay ** np.arange(len(plan))
        lengths = np.linalg.norm(np.asarray(plans - plan, np.float64), axis=-1)
        return np.asarray((weights * lengths).sum(-1))

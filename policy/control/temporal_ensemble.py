"""Temporal ensembling: every action is a mean of what the latest chunks say of its step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..errors import PolicyError
from .execution import ChunkSource, Execution, Planner, check_overlap


@dataclass(frozen=True)
class TemporalEnsemble(Execution):
    """Averages the chunks that reach a step with the weights w_i = exp(-decay i).

    i = 0 is the oldest of them (Zhao et al. 2023b, who plan at every step: Ta = 1).
    A mean of two modes is neither, so it suits policies whose samples agree.

    Args:
        decay: m; above 0 the oldest chunk counts most, below 0 the newest.

    Raises:
        PolicyError: a decay that is no number.
    """

    decay: float = 0.01

    def __post_init__(self) -> None:
        if not np.isfinite(self.decay):
            raise PolicyError(f"execution.decay is a finite number; got {self.decay}")

    def source(self, policy: Planner) -> ChunkSource:
        """See Execution."""
        check_overlap(policy, "temporal ensembling")
        return super().source(policy)

    def actions(
        self, chunks: Sequence[Float[np.ndarray, "H Da"]], first: int, n: int
    ) -> Float[np.ndarray, "{n} Da"]:
        """See Execution."""
        newest = chunks[-1]
        steps = [self._mean(chunks, first + k, n) for k in range(min(n, len(newest) - first))]
        return np.stack(steps).astype(newest.dtype)

    def _mean(
        self, chunks: Sequence[Float[np.ndarray, "H Da"]], at: int, n: int
    ) -> Float[np.ndarray, "Da"]:
        """Return the mean of what chunks, planned n steps apart, say of index `at` of the newest.

        As an offset from the newest: where all agree, rounding does not make them differ.
        """
        places = [at + n * age for age in reversed(range(len(chunks)))]
        said = np.array(
            [c[i] for c, i in zip(chunks, places, strict=True) if i < len(c)], np.float64
        )
        exponents = -self.decay * np.arange(len(said))
        weights = np.exp(exponents - exponents.max())
        offsets = (weights[:, None] * (said - said[-1])).sum(0)
        return np.asarray(said[-1] + offsets / weights.sum())

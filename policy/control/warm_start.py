"""A warm start: the next chunk is denoised from the last one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..errors import PolicyError
from ..sampling import Table
from ..sampling.warm import n_skipped
from .execution import ChunkSource, Execution, Planner


@dataclass(frozen=True)
class WarmStart(Execution):
    """Noises the rest of the chunk in execution to time `start` and denoises it from there.

    As plans are reused in Janner et al. 2022, section 5.4, and pictures in Meng et al. 2022; the
    evaluations before `start` are saved. An episode's first chunk is sampled from noise.

    Args:
        start: the time in (0, 1]. The later, the freer the new chunk; 1 is plain sampling.

    Raises:
        PolicyError: a time outside of (0, 1].
    """

    start: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1:
            raise PolicyError(f"execution.start lies above 0 and up to 1; got {self.start}")

    def source(self, policy: Planner) -> ChunkSource:
        """See Execution."""
        if self.start == 1:
            return super().source(policy)
        n_skipped(policy.table, self.start)
        return partial(policy.sample, start=self.start)

    def n_evaluations(self, table: Table) -> int:
        """See Execution."""
        return table.n_evaluations - (n_skipped(table, self.start) if self.start < 1 else 0)

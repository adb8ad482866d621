"""A warm start: at the noisiest times a known chunk stands in for the network's estimate.

Solvers are consistent: while the x_0 estimate is one chunk, the state is that chunk noised to the
present time. So a table whose first estimates are a known chunk arrives at the first time left
with what SDEdit starts from (Meng et al. 2022, algorithm 1): the chunk, noised to that time. The
evaluations before it cost nothing, and a multistep solver's history is what it should be.
"""

from __future__ import annotations

import torch

from ..errors import PolicyError
from ..shapes import Chunks, Noises
from .table import RowEstimate, Table, run_table

#: Times of a grid are known to so much.
ROUNDING = 1e-9


def n_skipped(table: Table, start: float) -> int:
    """Return how many evaluations of a table come before time `start` is reached.

    Raises:
        PolicyError: all of them do, or every token has times of its own.
    """
    if table.per_token:
        raise PolicyError("a warm start needs one time a chunk; leave policy.sampler.delay=0")
    reached = table.t <= start + ROUNDING
    if bool(reached.any()):
        return int(reached.int().argmax())

    latest = float(table.t.min())
    raise PolicyError(
        f"a warm start at t = {start:g} leaves nothing to compute: the sampler's last evaluation "
        f"is at t = {latest:.3g}; start there or above, or take more steps"
    )


def run_from(
    table: Table, estimate: RowEstimate, noises: Noises, *, known: Chunks | None, start: float
) -> Chunks:
    """Run a table as `run_table` does, with `known` for its estimates at the times above `start`.

    Args:
        table: the compiled solver.
        estimate: the x_0 estimate of each row.
        noises: as of `run_table`.
        known: normalised chunks; rows of NaN are unknown, and are estimated at every time, as all
            are without any.
        start: where the estimates begin.

    Raises:
        PolicyError: no evaluation is left, or every token has times of its own.
    """
    if known is None or start == 1:
        return run_table(table, estimate, noises)

    skipped = n_skipped(table, start)
    unknown = known.isnan().flatten(1).any(1)
    everywhere = bool(unknown.all())
    nowhere = not bool(unknown.any())

    def warm(k: int, x: Chunks) -> Chunks:
        """Return the estimate of row k."""
        if k >= skipped or everywhere:
            return estimate(k, x)
        if nowhere:
            return known
        return torch.where(unknown[:, None, None], estimate(k, x), known)

    return run_table(table, warm, noises)

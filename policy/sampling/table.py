"""A sampler is a table, and running one is a matmul per network evaluation.

Any fixed-grid solver is linear in what it has seen: with x_init the initial noise, m_j the (edited)
x_0 estimate at evaluation j and z_j fresh noise, the state at row k is
    x_k = init[k] x_init + sum_j estimate[k, j] m_j + sum_j noise[k, j] z_j,
with estimate[k, j] = 0 for j >= k. The last row is the answer.

Every token may have a time of its own (streaming, diffusion forcing): t, init, estimate and noise
then have a last axis H, and each token goes by its own column of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..paths import Path

#: (row k, state x_k `[B, H, Da]`) -> the x_0 estimate `[B, H, Da]`.
RowEstimate = Callable[[int, Tensor], Tensor]
#: (state x_t `[B, ...]`, time t, a number in a tensor without axes) -> the x_0 estimate `[B, ...]`.
TimeEstimate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Table:
    """A compiled solver; N network evaluations, M noise draws; all float64 on the CPU.

    The axis H is there only where every token has times of its own.

    Attributes:
        t: times of the evaluations on the policy's path.
        init: factor of the initial standard normal noise in each row.
        estimate: factors of the x_0 estimates in each row, strictly lower triangular.
        noise: factors of the fresh standard normal noise in each row.
    """

    t: Float[Tensor, "N *H"]
    init: Float[Tensor, "N+1 *H"]
    estimate: Float[Tensor, "N+1 N *H"]
    noise: Float[Tensor, "N+1 M *H"]

    @property
    def n_evaluations(self) -> int:
        """NFE: how often the network runs for one chunk."""
        return len(self.t)

    @property
    def n_noises(self) -> int:
        """How many fresh noises one chunk consumes, beside the initial one."""
        return self.noise.shape[1]

    @property
    def per_token(self) -> bool:
        """Whether every token has times of its own."""
        return self.t.ndim == 2

    def collapsed(self) -> Table:
        """Return the table with one time a chunk where all its tokens go the same way."""
        parts = (self.t, self.init, self.estimate, self.noise)
        if not self.per_token or not all(bool((p == p[..., :1]).all()) for p in parts):
            return self

        return Table(*(part[..., 0] for part in parts))

    @cached_property
    def _placed(self) -> dict[tuple[torch.dtype, torch.device], list[Tensor]]:
        """The rows made so far, by dtype and device."""
        return {}

    def rows(self, like: Float[Tensor, "..."]) -> list[Float[Tensor, "columns *H"]]:
        """Return the rows in the dtype and on the device of `like`, made once for each.

        Their columns are [x_init, m_0 .. m_{N-1}, z_0 .. z_{M-1}].
        """
        place = like.dtype, like.device
        if place not in self._placed:
            full = torch.cat([self.init[:, None], self.estimate, self.noise], 1)
            self._placed[place] = list(full.to(like).unbind())
        return self._placed[place]

    def truncated(self, n: int) -> Table:
        """Return the table of the first n evaluations, which stops at the noise level of row n."""
        used = (self.noise[: n + 1] != 0).any(0)
        return Table(
            self.t[:n],
            self.init[: n + 1],
            self.estimate[: n + 1, :n],
            self.noise[: n + 1][:, used],
        )

    def rebased(self, source: Path, path: Path) -> Table:
        """Return the same solver, compiled along `source`, for a network trained on `path`.

        At one noise angle two Gaussian paths differ by the ratio of their lengths, so each row is
        rescaled and each evaluation moved to the time of the same log-SNR. The last row is data.
        """
        angles = source.angle(self.t)
        ratio = path.length(angles) / source.length(angles)
        scale = torch.cat([ratio, ratio.new_ones(1)])
        return Table(
            t=path.time_at(angles),
            init=self.init * scale,
            estimate=self.estimate * scale[:, None],
            noise=self.noise * scale[:, None],
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the table as named tensors, for a checkpoint."""
        return {f.name: getattr(self, f.name).contiguous() for f in fields(self)}


def run_table(
    table: Table, estimate: RowEstimate, noises: Float[Tensor, "draws *chunk"]
) -> Float[Tensor, "*chunk"]:
    """Run a table and return the last state, `[B, H, Da]`.

    Args:
        table: the compiled solver.
        estimate: called once a row, in order, with (k, x_k `[B, H, Da]`); the state is overwritten
            by the next row, so copy what must outlive the call.
        noises: standard normal `[1 + M, B, H, Da]`: the initial noise, then the fresh ones.
    """
    n = table.n_evaluations
    rows = table.rows(noises)

    # The columns of the table: the initial noise, the estimates to come, the fresh noises.
    history = noises.new_zeros(1 + n + table.n_noises, *noises.shape[1:])
    columns = history.unbind()
    columns[0].copy_(noises[0])
    if table.n_noises:
        history[1 + n :] = noises[1:]
    if table.per_token:
        return _run_per_token(history, rows, estimate)

    # In place, into one state: this loop is all that a robot waits for beside the network.
    matrix = history.view(len(columns), -1).T
    state = noises.new_empty(len(matrix))
    chunk = state.view(noises.shape[1:])
    for k in range(n):
        torch.mv(matrix, rows[k], out=state)
        columns[1 + k].copy_(estimate(k, chunk))
    return torch.mv(matrix, rows[n]).view(noises.shape[1:])


def _run_per_token(
    history: Float[Tensor, "columns B H Da"],
    rows: list[Float[Tensor, "columns H"]],
    estimate: RowEstimate,
) -> Float[Tensor, "B H Da"]:
    """Run the rows over the columns of the history, each token by its own column of a row."""
    *inner, last = rows
    for k, row in enumerate(inner):
        history[1 + k] = estimate(k, torch.einsum("cbhd,ch->bhd", history, row))
    return torch.einsum("cbhd,ch->bhd", history, last)

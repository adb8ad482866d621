"""Tables in which the tokens of a chunk take their turns: the near future is clean first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..paths import Path
from .table import Table


def staggered(table: Table, path: Path, horizon: int, delay: float) -> Table:
    """Return the table whose token h starts `delay` h evaluations later than the first.

    Each token goes through the rows of `table`; before its turn it rests as noise, afterwards as
    data. This is the pyramid of diffusion forcing (Chen et al. 2024, section 3.3), which needs a
    policy trained with `time=per_token`. Without delay it is the table itself.

    Args:
        table: one token's solver, `t` of shape `[N]`.
        path: the policy's path.
        horizon: H.
        delay: evaluations between the turns of two successive tokens, at least 0.
    """
    starts = [int(delay * h) for h in range(horizon)]
    if starts[-1] == 0:
        return table

    n = table.n_evaluations
    total = n + starts[-1]
    # Row r of the whole table is row place[r, h] of token h, whose evaluations are counted from
    # its start.
    place = (torch.arange(total + 1)[:, None] - torch.tensor(starts)).clamp(0, n)

    # A finished token is data; the earliest time of training stands for t = 0.
    t = torch.cat([table.t, table.t.new_tensor([path.earliest])])[place[:-1]]
    estimate = table.estimate.new_zeros(total + 1, total, horizon)
    for h, start in enumerate(starts):
        estimate[:, start : start + n, h] = table.estimate[place[:, h]]

    return Table(
        t=t,
        init=table.init[place],
        estimate=estimate,
        noise=table.noise[place].permute(0, 2, 1).contiguous(),
    )


def equal_tokens(table: Table, horizon: int) -> Table:
    """Return the same table written with one time a token, `[N, H]`."""

    def repeat(values: Float[Tensor, "*part"]) -> Float[Tensor, "*part H"]:
        return values[..., None].repeat(*[1] * values.ndim, horizon)

    return Table(*(repeat(each) for each in (table.t, table.init, table.estimate, table.noise)))

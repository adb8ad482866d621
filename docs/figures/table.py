"""Two compiled samplers as heat maps: `python docs/figures/table.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from style import ASSETS, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kinoise.policy.sampling import Table

N = 10
SOLVERS = {"dpmpp_2m": "DPM-Solver++ 2M: an ODE", "ddpm": "DDPM: fresh noise at every step"}


def draw(out: Path = ASSETS / "table.svg") -> Path:
    """Draw the tables of `SOLVERS` at N steps along the cosine path."""
    import matplotlib.pyplot as plt

    from kinoise.policy.paths import VPCosine
    from kinoise.policy.sampling import Sampler

    tables = [Sampler(solver, N).table(VPCosine()) for solver in SOLVERS]
    widths = [1 + table.n_evaluations + table.n_noises for table in tables]
    figure, axes = plt.subplots(
        1, 2, figsize=(9.4, 3.7), layout="constrained", gridspec_kw={"width_ratios": widths}
    )
    for axis, table, title in zip(axes, tables, SOLVERS.values(), strict=True):
        _panel(axis, table, title)

    figure.colorbar(axes[0].images[0], ax=axes, shrink=0.8, label="factor", pad=0.01)
    return save(figure, out)


def _panel(axis: Axes, table: Table, title: str) -> None:
    """Draw one table: a row a state, a column for everything the state is made of."""
    import torch

    rows = torch.cat([table.init[:, None], table.estimate, table.noise], 1).numpy()
    axis.imshow(rows, cmap="RdBu_r", vmin=-1.5, vmax=1.5)

    n, m = table.n_evaluations, table.n_noises
    for edge in (0.5, n + 0.5)[: 1 + bool(m)]:
        axis.axvline(edge, color="0.2", linewidth=1.0)

    states = [f"row {k}" for k in range(n)]
    parts = ["$x_{init}$", *(f"$m_{{{j}}}$" for j in range(n)), *(f"$z_{{{j}}}$" for j in range(m))]
    axis.set_xticks(range(len(parts)), parts, fontsize=7)
    axis.set_yticks(range(n + 1), [*states, "chunk"], fontsize=8)
    axis.tick_params(length=0)
    axis.set_title(title, fontsize=11)


if __name__ == "__main__":
    print(draw())

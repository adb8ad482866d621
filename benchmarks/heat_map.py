"""The picture of the sweep over the families: success and score by network evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: Upper ends of the columns; what a family recommends stands in a column of its own.
COLUMNS = (1, 2, 4, 8, 16)
#: Task -> what is reported, and its title.
TITLES = {
    "pick_place": ("success", "PickPlace: success"),
    "gym_pusht": ("score", "Push-T, human data: score"),
}


def draw(rows: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> None:
    """Draw a heat map a task: families down, evaluations across, the recommended ones last.

    Args:
        rows: cells of the sweep, each with task, family, nfe, recommended, success and score.
        names: the families, top to bottom.
        path: the file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(TITLES), figsize=(10, 0.27 * len(names) + 1.2), sharey=True, layout="constrained"
    )
    for axis, (task, (key, title)) in zip(axes, TITLES.items(), strict=True):
        values, labels = _grid([row for row in rows if row["task"] == task], names, key)
        axis.set_facecolor("#f2f2f2")  # not run, or not possible for the solver
        image = axis.imshow(values, vmin=0, vmax=1, cmap="YlGnBu", aspect="auto")
        for (i, k), label in np.ndenumerate(labels):
            colour = "white" if np.nan_to_num(values[i, k]) > 0.6 else "#333333"
            axis.text(k, i, label, ha="center", va="center", color=colour, fontsize=8)
        columns = [*(str(n) for n in COLUMNS), "own"]
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.axvline(len(COLUMNS) - 0.5, color="white", linewidth=5)
        axis.set_xlabel("network evaluations a chunk; own: as the family recommends", fontsize=9)
        axis.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01).outline.set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(f"wrote {path}")


def _grid(
    rows: Sequence[dict[str, Any]], names: Sequence[str], key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values `[names, columns + 1]`, NaN where there are none, and their labels."""
    values = np.full((len(names), len(COLUMNS) + 1), np.nan)
    labels = np.full(values.shape, "", dtype=object)
    for row in rows:
        i = names.index(row["family"])
        columns = [k for k, most in enumerate(COLUMNS) if row["nfe"] <= most][:1]
        for k in [*columns, *([len(COLUMNS)] if row["recommended"] else [])]:
            values[i, k] = row[key]
            labels[i, k] = f"{row[key]:.2f}"
    return values, labels

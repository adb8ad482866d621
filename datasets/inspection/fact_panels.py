"""A row of panels for the facts that people would rather look at than read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .facts import Facts
from .panels import BLUE, LINES, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .panels import Place


def draw(figure: Figure, place: Place, facts: Facts) -> None:
    """Draw a panel for each fact; one that cannot be told says so."""
    row = place.subgridspec(1, len(PANELS), wspace=0.3)
    for number, (title, panel) in enumerate(PANELS.items()):
        axis = figure.add_subplot(row[number])
        axis.set_title(title, fontsize=8, pad=3)
        axis.tick_params(labelsize=6, length=2, pad=1.5)
        axis.grid(color=LINES, linewidth=0.4)
        axis.set_axisbelow(True)
        if not panel(axis, facts):
            axis.text(0.5, 0.5, "cannot be told", transform=axis.transAxes, ha="center")


def _history(axis: Axes, facts: Facts) -> bool:
    """Draw what histories of several lengths leave unexplained."""
    if facts.history is None:
        return False
    names = [str(steps) for steps in facts.history.unexplained]
    shares = list(facts.history.unexplained.values())
    best = str(facts.history.best)
    axis.bar(names, shares, color=[ORANGE if name == best else BLUE for name in names])
    axis.set(xlabel="observations", ylabel="share of variance", ylim=(0, max(1.0, *shares)))
    return True


def _foresight(axis: Axes, facts: Facts) -> bool:
    """Draw how much of the motion the observations explain, by steps ahead."""
    if facts.history is None:
        return False
    steps = list(facts.history.ahead)
    axis.plot(steps, list(facts.history.ahead.values()), ".-", color=BLUE)
    axis.axvline(facts.motion_steps, color=ORANGE, linewidth=1, label="motion forgets itself")
    axis.set(xlabel="steps ahead", ylim=(0, 1))
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(steps, [str(step) for step in steps])
    axis.legend(fontsize=6, frameon=False)
    return True


def _neighbours(axis: Axes, facts: Facts) -> bool:
    """Draw how differently near-identical observations were answered."""
    if facts.modes is None:
        return False
    axis.hist(np.minimum(facts.modes.around, 2.0), bins=30, range=(0, 2), color=BLUE)
    axis.set(xlabel=f"variance of the next {facts.modes.chunk} steps, 1: that of all steps")
    axis.set_ylabel("steps")
    return True


def _pauses(axis: Axes, facts: Facts) -> bool:
    """Draw the share of idle steps at the start, within and at the end of episodes."""
    pauses = facts.pauses
    idle = [pauses.steps_at_start, pauses.steps_within, pauses.steps_at_end]
    shares = [100 * steps / max(1, facts.n_sampled) for steps in idle]
    axis.bar(["start", "within", "end"], shares, color=BLUE)
    axis.set(ylabel="% of all steps", ylim=(0, max(1.0, 1.2 * max(shares))))
    return True


PANELS: dict[str, Callable[[Axes, Facts], bool]] = {
    "left unexplained by history": _history,
    "explained ahead": _foresight,
    "how differently neighbours act": _neighbours,
    "idle steps": _pauses,
}

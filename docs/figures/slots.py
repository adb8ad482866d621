"""The slots of a policy, in training and in running: `python docs/figures/slots.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from style import ASSETS, DATA, LOOP, SLOT, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Name -> centre, second line, whether it is a slot (else it is data).
BOXES = {
    "chunk": ((0.0, 4.0), "$x_0$, from the data", False),
    "coupling": ((2.4, 4.0), "which noise, $\\epsilon$", True),
    "path": ((4.8, 4.0), "$x_t = \\alpha x_0 + \\sigma \\epsilon$", True),
    "time": ((4.8, 5.4), "which t", True),
    "target": ((7.8, 4.0), "what is predicted", True),
    "weight": ((10.2, 4.0), "of each noise level", True),
    "objective": ((12.6, 4.0), "the loss", True),
    "observation": ((0.0, 2.0), "the last To steps", False),
    "transform": ((2.4, 2.0), "which numbers", True),
    "encoder": ((4.8, 2.0), "state, cameras", True),
    "network": ((7.4, 2.0), "$F(x_t, t, condition)$", True),
    "noise": ((0.0, 0.0), "$x_{init}$", False),
    "sampler": ((4.8, 0.0), "a table: next $x_t$", True),
    "guidance": ((7.8, 0.0), "edits of $\\hat{x}_0$", True),
    "action chunk": ((10.2, 0.0), "of the robot", False),
    "execution": ((12.6, 0.0), "of chunks, in time", True),
}
#: From, to, bend of the arrow; those of the loop are run once a network evaluation.
ARROWS = (
    ("chunk", "coupling", 0.0),
    ("coupling", "path", 0.0),
    ("time", "path", 0.0),
    ("path", "network", 0.0),
    ("network", "target", 0.0),
    ("target", "weight", 0.0),
    ("weight", "objective", 0.0),
    ("observation", "transform", 0.0),
    ("transform", "encoder", 0.0),
    ("encoder", "network", 0.0),
    ("noise", "sampler", 0.0),
    ("action chunk", "execution", 0.0),
)
LOOPS = (("sampler", "network"), ("network", "guidance"), ("guidance", "sampler"))
LANES = {"training": 4.0, "both": 2.0, "running": 0.0}
WIDTH, HEIGHT = 2.0, 0.8


def draw(out: Path = ASSETS / "slots.svg") -> Path:
    """Draw every slot where it acts."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9.6, 4.1), layout="constrained")
    axis.set(xlim=(-2.4, 13.8), ylim=(-0.9, 6.0))
    axis.axis("off")
    for name, y in LANES.items():
        axis.axhspan(y - 0.8, y + 0.8 + 1.2 * (name == "training"), color="0.96", zorder=0)
        axis.text(-2.2, y, name, rotation=90, va="center", ha="center", fontsize=10, color="0.4")
    for name, (centre, note, is_slot) in BOXES.items():
        _box(axis, name, centre, note, is_slot)
    for start, end, bend in ARROWS:
        _arrow(axis, start, end, "0.35", bend)
    for start, end in LOOPS:
        _arrow(axis, start, end, LOOP, 0.0)
    _exit(axis)
    axis.text(6.4, 0.98, "N times\na chunk", ha="center", va="center", fontsize=9, color=LOOP)
    return save(figure, out)


def _box(axis: Axes, name: str, centre: tuple[float, float], note: str, is_slot: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = centre
    colour = SLOT if is_slot else DATA
    axis.add_patch(
        FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0.02,rounding_size=0.15",
            facecolor=colour if is_slot else "white",
            edgecolor=colour,
            zorder=2,
        )
    )
    ink = "white" if is_slot else DATA
    text = {"ha": "center", "va": "center", "color": ink, "zorder": 3}
    axis.text(x, y + 0.15, name, fontsize=10, fontweight="bold", **text)
    axis.text(x, y - 0.18, note, fontsize=8, **text)


def _arrow(axis: Axes, start: str, end: str, colour: str, bend: float) -> None:
    (x0, y0), (x1, y1) = BOXES[start][0], BOXES[end][0]
    if y0 == y1:
        side = 1 if x1 > x0 else -1
        tail, head = (x0 + side * WIDTH / 2, y0), (x1 - side * WIDTH / 2, y1)
    else:
        side = 1 if y1 > y0 else -1
        shift = 0.35 * (x1 > x0) - 0.35 * (x1 < x0)
        tail, head = (x0 + shift, y0 + side * HEIGHT / 2), (x1 - shift, y1 - side * HEIGHT / 2)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.5}
    style |= {"connectionstyle": f"arc3,rad={bend}"}
    axis.annotate("", xy=head, xytext=tail, arrowprops=style, zorder=1)


def _exit(axis: Axes) -> None:
    """Draw the way out: below the guidance, from the sampler's last row to the chunk."""
    (x0, y0), (x1, y1) = BOXES["sampler"][0], BOXES["action chunk"][0]
    low = y0 - HEIGHT / 2 - 0.28
    points = [(x0, y0 - HEIGHT / 2), (x0, low), (x1, low)]
    axis.plot(*zip(*points, strict=True), color="0.35", linewidth=1.5, zorder=1)
    style = {"arrowstyle": "-|>", "color": "0.35", "linewidth": 1.5}
    axis.annotate("", xy=(x1, y1 - HEIGHT / 2), xytext=(x1, low), arrowprops=style, zorder=1)
    axis.text(10.2, low + 0.12, "the last row", ha="center", fontsize=8, color="0.35")


if __name__ == "__main__":
    print(draw())

"""The look of the manual's figures, the same every time they are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS = Path(__file__).resolve().parents[1] / "assets"

SLOT = "#3f51b5"  # the site's indigo
DATA = "#757575"
LOOP = "#e65100"


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG without the date, so that drawing it again changes nothing."""
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "kinoise"}):
        figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None})
    return path

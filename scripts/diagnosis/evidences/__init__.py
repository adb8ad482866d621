"""What is looked at, one evidence a file: a function from a case to its clues.

A new evidence is a file and its row here. The cheap ones come first: where the time runs out, the
last ones are left out and the report says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..case import Case
from ..finding import Clue
from . import (
    curves,
    data_size,
    drift,
    fit,
    history,
    idle,
    normaliser,
    order,
    pairing,
    ranges,
    replay,
    saturation,
    sensitivity,
    starts,
    switching,
)

__all__ = ["EVIDENCES", "Evidence"]


@dataclass(frozen=True)
class Evidence:
    """One thing that is looked at.

    Attributes:
        name: what is looked at, in words.
        clues: looks.
        needs_env: whether there must be an environment.
    """

    name: str
    clues: Callable[[Case], Sequence[Clue]]
    needs_env: bool = False


EVIDENCES = (
    Evidence("statistics of the normalisation", normaliser.clues),
    Evidence("training curves", curves.clues),
    Evidence("observations and actions in time", pairing.clues),
    Evidence("use of the past", history.clues),
    Evidence("errors of sampled chunks", fit.clues),
    Evidence("amount of data", data_size.clues),
    Evidence("replay of demonstrations", replay.clues, needs_env=True),
    Evidence("order of observations", order.clues, needs_env=True),
    Evidence("limits of actions", saturation.clues),
    Evidence("ranges of observations", ranges.clues),
    Evidence("own and fresh starts", starts.clues, needs_env=True),
    Evidence("switching of plans", switching.clues),
    Evidence("idle and stuck segments", idle.clues),
    Evidence("drift from the data", drift.clues, needs_env=True),
    Evidence("sensitivity of success", sensitivity.clues, needs_env=True),
)

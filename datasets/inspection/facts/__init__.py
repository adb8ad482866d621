"""Facts of demonstrations: what they are like, measured, before anybody judges them."""

from .facts import Facts, compute_facts
from .history import History
from .meaning import ActionMeaning, Reading
from .modes import Modes
from .pauses import Pauses
from .ranges import Column
from .relations import Relations
from .starts import Starts
from .steps import StepColumn

__all__ = [
    "ActionMeaning",
    "Column",
    "Facts",
    "History",
    "Modes",
    "Pauses",
    "Reading",
    "Relations",
    "Starts",
    "StepColumn",
    "compute_facts",
]

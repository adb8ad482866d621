"""Look through a data set before training on it: what it holds, what would hurt, a picture."""

from .facts import Facts, compute_facts
from .findings import Finding
from .inspection import KeySummary, Report, check_against, inspect
from .plotting import plot

__all__ = [
    "Facts",
    "Finding",
    "KeySummary",
    "Report",
    "check_against",
    "compute_facts",
    "inspect",
    "plot",
]

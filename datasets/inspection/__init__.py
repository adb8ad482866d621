"""Look through a data set before training on it: what it holds, what would hurt, a picture."""

from .findings import Finding
from .inspection import KeySummary, Report, check_against, inspect
from .plotting import plot

__all__ = ["Finding", "KeySummary", "Report", "check_against", "inspect", "plot"]

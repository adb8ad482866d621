"""Why a policy fails: evidence from its checkpoint, its data and its environment, ranked."""

from .case import Case, Rolling, open_case
from .examining import Diagnosis, examine
from .finding import Finding

__all__ = ["Case", "Diagnosis", "Finding", "Rolling", "examine", "open_case"]

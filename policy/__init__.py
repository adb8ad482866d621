"""Everything that turns observations into actions."""

from .checkpoint import load_policy
from .errors import PolicyError

__all__ = ["PolicyError", "load_policy"]

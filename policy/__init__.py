"""Everything that turns observations into actions."""

from .checkpoints import load_policy
from .diffusion_policy import DiffusionPolicy
from .errors import PolicyError

__all__ = ["DiffusionPolicy", "PolicyError", "load_policy"]

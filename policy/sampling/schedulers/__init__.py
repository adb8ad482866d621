"""The schedulers of diffusers, compiled to tables."""

from .probe import Scheduler, noise_from
from .rows import SCHEDULERS

__all__ = ["SCHEDULERS", "Scheduler", "noise_from"]

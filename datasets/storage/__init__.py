"""Data sets on disk: written whole episode by whole episode, read in bounded memory."""

from .replacing import replacing
from .replay_buffer import ReplayBuffer

__all__ = ["ReplayBuffer", "replacing"]

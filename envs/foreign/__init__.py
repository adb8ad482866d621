"""Other people's environments: how they are named, made, and given the form that rollouts want."""

from .adapter import ForeignEnv
from .connection import Connection, open_foreign

__all__ = ["Connection", "ForeignEnv", "open_foreign"]

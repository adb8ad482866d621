"""Environments that live in another Python's process, because their packages cannot live in ours."""

from .client import BridgeEnv

__all__ = ["BridgeEnv"]

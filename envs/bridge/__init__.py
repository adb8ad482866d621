"""Environments that live in another Python's process, with packages of their own."""

from .client import BridgeEnv

__all__ = ["BridgeEnv"]

"""Policies on disk: safetensors, YAML and JSON in one folder."""

from .folder import load_policy

__all__ = ["load_policy"]

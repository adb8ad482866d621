"""Policies on disk: safetensors, YAML and JSON in one folder."""

from .folder import find_checkpoint, read_config, read_meta, save_checkpoint
from .loading import load_policy

__all__ = ["find_checkpoint", "load_policy", "read_config", "read_meta", "save_checkpoint"]

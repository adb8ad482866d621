"""The optimizer's groups, and the precision of the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import unknown_name

#: Names of the precisions of the forward pass.
PRECISIONS = ("auto", "float32", "bfloat16")


def parameter_groups(
    parameters: Mapping[str, torch.nn.Parameter], factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: parameters that share a factor of the learning rate."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(factors.get(name, 1.0), []).append(parameter)
    return [{"params": group, "factor": factor} for factor, group in groups.items()]


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of the forward pass.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the processor multiplies it
            natively.
        device: where the policy computes.

    Raises:
        PolicyError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if precision == "auto":
        native = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
        precision = "bfloat16" if native else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

"""Straight lines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .path import Path


@dataclass(frozen=True)
class LinearFlow(Path):
    """Straight lines, alpha = 1 - t and sigma = t (Lipman et al. 2023; Liu et al. 2023)."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_rate(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_rate(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time_at(self, angle: Tensor) -> Tensor:
        return angle.sin() / (angle.sin() + angle.cos())

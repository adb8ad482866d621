"""Weights w(lambda) of the squared error of x_0, with lambda = log(alpha / sigma).

SNR = exp(2 lambda).

`None` stands for the plain squared error of whatever the network predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Weight(Protocol):
    """Maps log-SNR lambda (any shape) to the weight of the squared x_0 error."""

    def __call__(self, log_snr: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class SNR:
    """w = SNR, the plain epsilon loss whatever is predicted (Ho et al. 2020, eq. 14)."""

    maximum: float = 1e4

    def __call__(self, log_snr: Tensor) -> Tensor:
        return torch.exp(2 * log_snr).clamp(max=self.maximum)


@dataclass(frozen=True)
class MinSNR:
    """w = min(SNR, gamma) (Hang et al. 2023, eq. 10)."""

    gamma: float = 5.0

    def __call__(self, log_snr: Tensor) -> Tensor:
        return torch.exp(2 * log_snr).clamp(max=self.gamma)


@dataclass(frozen=True)
class Uniform:
    """w = 1: the squared error of x_0 itself, whatever is predicted."""

    def __call__(self, log_snr: Tensor) -> Tensor:
        return torch.ones_like(log_snr)

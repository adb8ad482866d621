"""Affine normalisation of observations and actions, kept as buffers inside the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import PolicyError, unknown_name

#: A dimension whose range is below this fraction of max(1, |centre|) counts as constant.
CONSTANT = 1e-4

Statistics = Mapping[str, Any]


def _minmax(stats: Statistics) -> tuple[Tensor, Tensor]:
    """Map [min, max] to [-1, 1]."""
    low, high = torch.as_tensor(stats["min"]).double(), torch.as_tensor(stats["max"]).double()
    return (low + high) / 2, (high - low) / 2


def _standard(stats: Statistics) -> tuple[Tensor, Tensor]:
    """Map to mean 0 and standard deviation 1."""
    return torch.as_tensor(stats["mean"]).double(), torch.as_tensor(stats["std"]).double()


def _identity(stats: Statistics) -> tuple[Tensor, Tensor]:
    """Leave as it is: rotations in a continuous form, one-hot codes, images."""
    centre = torch.zeros_like(torch.as_tensor(stats["min"]).double())
    return centre, torch.ones_like(centre)


MODES = {"minmax": _minmax, "standard": _standard, "identity": _identity}


class Normalizer(nn.Module):
    """Maps each key's values to (value - centre) / scale and back, per dimension.

    Dimensions that hardly vary are centred and never divided by their tiny range.

    Args:
        shapes: key -> shape of one value (without batch and time), low-dimensional keys only.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.keys = list(shapes)
        for key, shape in shapes.items():
            self.register_buffer(_buffer(key, "centre"), torch.zeros(tuple(shape)))
            self.register_buffer(_buffer(key, "scale"), torch.ones(tuple(shape)))

    def fit(
        self, statistics: Mapping[str, Statistics], modes: Mapping[str, str] | None = None
    ) -> None:
        """Set centre and scale from a data set's statistics.

        Args:
            statistics: key -> {"min", "max", "mean", "std"}, arrays of the key's shape.
            modes: key -> "minmax" (default), "standard" or "identity".

        Raises:
            PolicyError: a key without statistics, a wrong shape, or an unknown mode.
        """
        modes = modes or {}
        for key in self.keys:
            mode = modes.get(key, "minmax")
            if mode not in MODES:
                raise unknown_name("normalisation", mode, MODES)
            if key not in statistics:
                raise PolicyError(f"no statistics for '{key}'; the data set lacks this key")
            centre, scale = MODES[mode](statistics[key])
            if centre.shape != self._centre(key).shape:
                raise PolicyError(
                    f"statistics of '{key}' have shape {list(centre.shape)}, "
                    f"the policy expects {list(self._centre(key).shape)}"
                )
            constant = scale.abs() <= CONSTANT * centre.abs().clamp(min=1)
            self._centre(key).copy_(centre)
            self._scale(key).copy_(torch.where(constant, torch.ones_like(scale), scale))

    def _centre(self, key: str) -> Tensor:
        return self.get_buffer(_buffer(key, "centre"))

    def _scale(self, key: str) -> Tensor:
        return self.get_buffer(_buffer(key, "scale"))

    def normalize(self, key: str, value: Tensor) -> Tensor:
        """Return `value` `[..., *shape]` in normalised units; keys unknown here pass unchanged."""
        if key not in self.keys:
            return value
        centre = self._centre(key)
        return (value.to(centre.dtype) - centre) / self._scale(key)

    def unnormalize(self, key: str, value: Tensor) -> Tensor:
        """Return the normalised `value` in the data's own units."""
        return torch.addcmul(self._centre(key), value, self._scale(key))


def _buffer(key: str, name: str) -> str:
    # Buffer names may not hold dots, and keys of foreign data sets do.
    return f"{name}:{key.replace('.', '/')}"

"""Affine normalisation of observations and actions, kept as buffers inside the policy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from .errors import PolicyError, unknown_name

#: A dimension is constant if its range is below this part of its own largest absolute value, or
#: below `NOTHING` of the largest one of its key. Ratios, so that they hold in metres and in pixels.
CONSTANT = 1e-4
NOTHING = 1e-6

#: A key's "min", "max", "mean" and "std", arrays of its shape.
Statistics = Mapping[str, Any]


#: The same, as tensors.
Moments = Mapping[str, Float[Tensor, "*shape"]]
#: Centre and scale.
Affine = tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]


def _minmax(stats: Moments) -> Affine:
    """Map [min, max] to [-1, 1]."""
    return (stats["min"] + stats["max"]) / 2, (stats["max"] - stats["min"]) / 2


def _standard(stats: Moments) -> Affine:
    """Map to mean 0 and standard deviation 1."""
    return stats["mean"], stats["std"]


def _identity(stats: Moments) -> Affine:
    """Leave as it is: rotations in a continuous form, one-hot codes, images."""
    return torch.zeros_like(stats["min"]), torch.ones_like(stats["min"])


#: Mode of normalisation -> centre and scale from a key's statistics.
MODES = {"minmax": _minmax, "standard": _standard, "identity": _identity}


class Normalizer(nn.Module):
    """Maps each key's values to (value - centre) / scale and back, per dimension.

    A dimension that is constant in the data has scale 0: it reads as 0 whatever comes in, since
    nothing can have been learnt from it, and comes out as exactly its value.

    Args:
        shapes: key -> shape of one value (without batch and time), low-dimensional keys only.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.keys = list(shapes)
        for key, shape in shapes.items():
            self.register_buffer(_buffer(key, "centre"), torch.zeros(tuple(shape)))
            self.register_buffer(_buffer(key, "scale"), torch.ones(tuple(shape)))
            self.register_buffer(_buffer(key, "low"), -torch.ones(tuple(shape)))
            self.register_buffer(_buffer(key, "high"), torch.ones(tuple(shape)))
            # What to divide by: infinity where the scale is 0.
            divisor = torch.ones(tuple(shape))
            self.register_buffer(_buffer(key, "divisor"), divisor, persistent=False)

    def fit(
        self, statistics: Mapping[str, Statistics], modes: Mapping[str, str] | None = None
    ) -> None:
        """Set centre and scale from a data set's statistics; warn of constant dimensions.

        Args:
            statistics: key -> {"min", "max", "mean", "std"}, arrays of the key's shape.
            modes: key -> "minmax" (default), "standard" or "identity".

        Raises:
            PolicyError: a key without statistics, a wrong shape, numbers that are not finite, or
                an unknown mode.
        """
        modes = modes or {}
        for key in modes:
            if key not in self.keys:
                raise unknown_name("key to normalise", key, self.keys)

        for key in self.keys:
            mode = modes.get(key, "minmax")
            if mode not in MODES:
                raise unknown_name("normalisation", mode, MODES)
            if key not in statistics:
                raise PolicyError(f"no statistics for '{key}'; the data set lacks this key")
            self._fit_key(key, self._checked(key, statistics[key]), mode)

    def _fit_key(self, key: str, stats: Moments, mode: str) -> None:
        """Set centre, scale and bounds of one key."""
        centre, scale = MODES[mode](stats)
        if mode != "identity":
            constant = _is_constant(stats["min"], stats["max"])
            centre = torch.where(constant, (stats["min"] + stats["max"]) / 2, centre)
            scale = torch.where(constant, 0.0, scale)
            _warn_of_constants(key, constant)

        self.assign(key, centre, scale)
        self._get(key, "low").copy_((stats["min"] - centre) / _divisor(scale))
        self._get(key, "high").copy_((stats["max"] - centre) / _divisor(scale))

    def assign(
        self, key: str, centre: Float[Tensor, "*shape"], scale: Float[Tensor, "*shape"]
    ) -> None:
        """Set a key's centre and scale, both of its shape; a scale of 0 marks a constant."""
        self._get(key, "centre").copy_(centre)
        self._get(key, "scale").copy_(scale)
        # Of the scale as it is kept: the least numbers of float64 are 0 in float32.
        self._get(key, "divisor").copy_(_divisor(self._get(key, "scale")))

    def _checked(self, key: str, given: Statistics) -> Moments:
        """Return a key's statistics in double precision.

        Raises:
            PolicyError: a wrong shape, or numbers that are not finite.
        """
        stats = {
            name: torch.as_tensor(given[name]).double() for name in ("min", "max", "mean", "std")
        }
        expected = self._get(key, "centre").shape
        for name, value in stats.items():
            if value.shape != expected:
                raise PolicyError(
                    f"statistics of '{key}' have shape {list(value.shape)}, "
                    f"the policy expects {list(expected)}"
                )
            if not bool(value.isfinite().all()):
                raise PolicyError(
                    f"the {name} of '{key}' is not finite; look at the data with `kinoise inspect`"
                )
        return stats

    def normalize(self, key: str, value: Shaped[Tensor, "*batch"]) -> Shaped[Tensor, "*batch"]:
        """Return `value` `[..., *shape]` in normalised units; keys unknown here pass unchanged."""
        if key not in self.keys:
            return value

        centre = self._get(key, "centre")
        return (value.to(centre.dtype) - centre) / self._get(key, "divisor")

    def unnormalize(self, key: str, value: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the normalised `value` `[..., *shape]` in the data's own units."""
        centre = self._get(key, "centre")
        return torch.addcmul(centre, value.to(centre.dtype), self._get(key, "scale"))

    def scale(self, key: str) -> Float[Tensor, "*shape"]:
        """Return how many of the data's units one normalised unit is; 0 for constants."""
        return self._get(key, "scale")

    def bounds(self, key: str) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Return the least and the largest normalised value of the data, per dimension."""
        return self._get(key, "low"), self._get(key, "high")

    def _get(self, key: str, name: str) -> Float[Tensor, "*shape"]:
        """Return a key's buffer."""
        return self.get_buffer(_buffer(key, name))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load; checkpoints from before bounds were kept have those of "minmax"."""
        for key in self.keys:
            for name in ("low", "high"):
                state_dict.setdefault(f"{prefix}{_buffer(key, name)}", self._get(key, name))
        super()._load_from_state_dict(state_dict, prefix, *args)
        for key in self.keys:
            self._get(key, "divisor").copy_(_divisor(self._get(key, "scale")))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Normalizer:
        """Move or cast, but never below single precision: bfloat16 would lose millimetres."""

        def moved(buffer: Tensor) -> Tensor:
            result = fn(buffer)
            return result if result.dtype.itemsize >= 4 else buffer.to(result.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


def as_weights(
    values: Mapping[str, Shaped[Tensor, "..."]], dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """Return normalised values as weights of half precision read them; pictures stay bytes."""
    if dtype.itemsize >= 4:
        return values
    return {key: v.to(dtype) if v.is_floating_point() else v for key, v in values.items()}


def _is_constant(
    low: Float[Tensor, "*shape"], high: Float[Tensor, "*shape"]
) -> Bool[Tensor, "*shape"]:
    """Return which dimensions hold one value only, as far as `CONSTANT` and `NOTHING` tell."""
    size = torch.maximum(low.abs(), high.abs())
    largest = size.max() if size.numel() else size.new_zeros(())
    return high - low <= torch.maximum(CONSTANT * size, NOTHING * largest)


def _divisor(scale: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return what to divide by for a scale."""
    return torch.where(scale == 0, torch.inf, scale)


def _warn_of_constants(key: str, constant: Bool[Tensor, "*shape"]) -> None:
    """Warn of the dimensions that are constant, if there are any."""
    dims = constant.flatten().nonzero().flatten().tolist()
    if not dims:
        return

    meaning = "are always given back as they are" if key == "action" else "are ignored"
    warnings.warn(
        f"dimensions {dims} of '{key}' are constant in the training data; they {meaning}",
        stacklevel=4,
    )


def _buffer(key: str, name: str) -> str:
    """Return the name of a key's buffer."""
    # Buffer names may not hold dots, and keys of foreign data sets do.
    return f"{name}:{key.replace('.', '/')}"

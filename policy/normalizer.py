"""Affine normalisation of observations and actions, kept as buffers inside the policy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from .buffers import Buffers, buffer_name
from .errors import PolicyError, unknown_name

#: A dimension is constant if its range is below this part of its own largest absolute value, or
#: below `NOTHING` of the largest one of its key. Ratios, so that they hold in metres and in pixels.
CONSTANT = 1e-4
NOTHING = 1e-6

#: A key's "min", "max", "mean" and "std", and for quantiles "q01" and "q99", arrays of its shape.
Statistics = Mapping[str, Any]
#: A mode of `MODES` for a whole key, or by column, with "default" for the columns not named.
Mode = str | Mapping[Any, str]

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


def _quantile(stats: Moments) -> Affine:
    """Map the 1 % and 99 % quantiles to -1 and 1: a few outliers do not squeeze all the rest.

    Where the quantiles coincide, as for a gripper that seldom closes, the range stands in.
    """
    low = stats["q01"]
    high = stats["q99"]
    same = _is_constant(low, high)
    low = torch.where(same, stats["min"], low)
    high = torch.where(same, stats["max"], high)
    return (low + high) / 2, (high - low) / 2


def _identity(stats: Moments) -> Affine:
    """Leave as it is: rotations in a continuous form, one-hot codes, images."""
    return torch.zeros_like(stats["min"]), torch.ones_like(stats["min"])


#: Mode of normalisation -> centre and scale from a key's statistics.
MODES = {
    "minmax": _minmax,
    "quantile": _quantile,
    "standard": _standard,
    "identity": _identity,
}
#: In a mapping of modes: that of everything not named.
DEFAULT = "default"


class Normalizer(Buffers):
    """Maps each key's values to (value - centre) / scale and back, per dimension.

    A dimension that is constant in the data has scale 0: it reads as 0 whatever comes in, since
    nothing can have been learnt from it, and comes out as exactly its value.

    Args:
        shapes: key -> shape of one value (without batch and time), low-dimensional keys only.
            Actions whose range depends on the step have `[H, Da]`: a chunk is one value.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.keys = list(shapes)
        for key, shape in shapes.items():
            self.keep(key, "centre", torch.zeros(tuple(shape)))
            self.keep(key, "scale", torch.ones(tuple(shape)))
            self.keep(key, "low", -torch.ones(tuple(shape)))
            self.keep(key, "high", torch.ones(tuple(shape)))
            # What to divide by: infinity where the scale is 0.
            self.keep(key, "divisor", torch.ones(tuple(shape)), persistent=False)

    def fit(
        self, statistics: Mapping[str, Statistics], modes: Mapping[str, Mode | None] | None = None
    ) -> None:
        """Set centre and scale from a data set's statistics; warn of constant dimensions.

        Args:
            statistics: key -> {"min", "max", "mean", "std"}, arrays of the key's shape; "q01" and
                "q99" besides where quantiles are asked for.
            modes: key -> mode, a key of `MODES`; or {column: mode} with "default" for the columns
                that are not named, of the flattened value. Under "default" stands the mode of keys
                that are not named; None for "minmax".

        Raises:
            PolicyError: a key without statistics, a wrong shape, numbers that are not finite, or
                an unknown key, column or mode.
        """
        modes = modes or {}
        for key in modes:
            if key not in (*self.keys, DEFAULT):
                raise unknown_name("key to normalise", key, [*self.keys, DEFAULT])

        for key in self.keys:
            if key not in statistics:
                raise PolicyError(f"no statistics for '{key}'; the data set lacks this key")
            mode = modes.get(key) or modes.get(DEFAULT) or "minmax"
            columns = self._columns(key, mode)
            self._fit_key(key, self._checked(key, statistics[key]), columns)

    def _fit_key(self, key: str, stats: Moments, columns: Mapping[str, Tensor]) -> None:
        """Set centre, scale and bounds of one key, given which dimensions have which mode."""
        centre, scale = _identity(stats)
        for mode, chosen in columns.items():
            if mode == "quantile" and "q01" not in stats:
                raise PolicyError(f"no quantiles of '{key}' are known; normalise it by 'minmax'")
            of_mode = MODES[mode](stats)
            centre = torch.where(chosen, of_mode[0], centre)
            scale = torch.where(chosen, of_mode[1], scale)

        constant = _is_constant(stats["min"], stats["max"]) & ~columns["identity"]
        centre = torch.where(constant, (stats["min"] + stats["max"]) / 2, centre)
        scale = torch.where(constant, 0.0, scale)
        _warn_of_constants(key, constant)

        self.assign(key, centre, scale)
        self.get(key, "low").copy_((stats["min"] - centre) / _divisor(scale))
        self.get(key, "high").copy_((stats["max"] - centre) / _divisor(scale))

    def _columns(self, key: str, mode: Mode) -> dict[str, Bool[Tensor, "*shape"]]:
        """Return which dimensions of a key have which mode; "identity" is always there.

        Raises:
            PolicyError: a mode or column that is not there.
        """
        shape = self.get(key, "centre").shape
        # The steps of a chunk have their modes in common.
        width = shape[-1] if key == "action" and shape else shape.numel()
        named = {DEFAULT: mode} if isinstance(mode, str) else {str(k): v for k, v in mode.items()}
        modes = [named.pop(DEFAULT, "minmax")] * width
        for column, one in named.items():
            if not column.isdecimal() or int(column) >= width:
                raise unknown_name(f"column of '{key}'", column, [*map(str, range(width)), DEFAULT])
            modes[int(column)] = one
        for one in modes:
            if one not in MODES:
                raise unknown_name("normalisation", one, MODES)

        def chosen(wanted: str) -> Tensor:
            marks = torch.tensor([one == wanted for one in modes], dtype=torch.bool)
            return marks.expand(shape) if key == "action" else marks.reshape(shape)

        return {one: chosen(one) for one in sorted({*modes, "identity"})}

    def assign(
        self, key: str, centre: Float[Tensor, "*shape"], scale: Float[Tensor, "*shape"]
    ) -> None:
        """Set a key's centre and scale, both of its shape; a scale of 0 marks a constant."""
        self.get(key, "centre").copy_(centre)
        self.get(key, "scale").copy_(scale)
        # Of the scale as it is kept: the least numbers of float64 are 0 in float32.
        self.get(key, "divisor").copy_(_divisor(self.get(key, "scale")))

    def _checked(self, key: str, given: Statistics) -> Moments:
        """Return a key's statistics in double precision.

        Raises:
            PolicyError: a wrong shape, or numbers that are not finite.
        """
        names = ["min", "max", "mean", "std", *(name for name in ("q01", "q99") if name in given)]
        stats = {name: torch.as_tensor(given[name]).double() for name in names}
        expected = self.get(key, "centre").shape
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

        centre = self.get(key, "centre")
        return (value.to(centre.dtype) - centre) / self.get(key, "divisor")

    def unnormalize(self, key: str, value: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the normalised `value` `[..., *shape]` in the data's own units."""
        centre = self.get(key, "centre")
        return torch.addcmul(centre, value.to(centre.dtype), self.get(key, "scale"))

    def scale(self, key: str) -> Float[Tensor, "*shape"]:
        """Return how many of the data's units one normalised unit is; 0 for constants."""
        return self.get(key, "scale")

    def bounds(self, key: str) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Return the least and the largest normalised value of the data, per dimension."""
        return self.get(key, "low"), self.get(key, "high")

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load; checkpoints from before bounds were kept have those of "minmax"."""
        for key in self.keys:
            for name in ("low", "high"):
                state_dict.setdefault(f"{prefix}{buffer_name(key, name)}", self.get(key, name))
        super()._load_from_state_dict(state_dict, prefix, *args)
        for key in self.keys:
            self.get(key, "divisor").copy_(_divisor(self.get(key, "scale")))


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
    steps = constant.flatten(0, -2) if key == "action" and constant.ndim > 1 else constant[None]
    dims = steps.reshape(len(steps), -1).all(0).nonzero().flatten().tolist()
    if not dims:
        return

    meaning = "are always given back as they are" if key == "action" else "are ignored"
    warnings.warn(
        f"dimensions {dims} of '{key}' are constant in the training data; they {meaning}",
        stacklevel=4,
    )

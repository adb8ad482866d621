"""Observations held to the seen range, and disturbed in training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..encoders.encoder import Observations, Shapes, is_image
from ..errors import PolicyError
from .ranges import Ranges
from .transform import ACTION, Actions, Transform, check_columns, flat, size_of


class RangedTransform(Transform, nn.Module):
    """A transform of observations that knows the range of values that training has seen.

    Args:
        key: the observation; None for every one that is no image.
        columns: of the key's flattened value; None for all.

    Raises:
        PolicyError: columns without a key.
    """

    ranges: Ranges

    def __init__(self, key: str | None = None, columns: Sequence[int] | None = None) -> None:
        super().__init__()
        if key is None and columns is not None:
            raise PolicyError(f"the columns {list(columns)} are of no key; name it, or leave both")
        self.key = key
        self.columns = None if columns is None else list(columns)
        self.keys: list[str] = []

    def connect(self, shapes: Shapes) -> Shapes:
        vectors = [key for key in shapes if key != ACTION and not is_image(shapes[key])]
        observed = {key: shapes[key] for key in shapes if key != ACTION}
        self.keys = vectors if self.key is None else [self.key]
        for key in self.keys:
            size_of(observed, key)
        if self.columns is not None:
            check_columns(observed, self.keys[0], self.columns)
        self.ranges = Ranges({key: size_of(shapes, key) for key in self.keys})
        return shapes

    def watch(self, obs: Observations, action: Actions) -> None:
        for key in self.keys:
            self.ranges.widen(key, flat(obs, key))

    def _changed(self, obs: Observations, generator: torch.Generator | None) -> Observations:
        """Return the observations with the chosen columns changed."""
        return {**obs, **{key: self._of_key(obs, key, generator) for key in self.keys}}

    def _of_key(
        self, obs: Observations, key: str, generator: torch.Generator | None
    ) -> Float[Tensor, "B To ..."]:
        before = flat(obs, key)
        after = self._change(before, key, generator)
        if self.columns is not None:
            chosen = after
            after = before.clone()
            after[..., self.columns] = chosen[..., self.columns]
        return after.reshape(obs[key].shape)

    @abstractmethod
    def _change(
        self, value: Float[Tensor, "B To n"], key: str, generator: torch.Generator | None
    ) -> Float[Tensor, "B To n"]:
        """Return a key's values changed, all columns of them."""


class ClipObservation(RangedTransform):
    """Holds observations to the range that training has seen, where nothing else was learnt.

    Args:
        key: the observation; None for every one that is no image.
        columns: of the key's flattened value; None for all.
        stretch: of the range about its middle.

    Raises:
        PolicyError: a stretch that is not above 0, or columns without a key.
    """

    def __init__(
        self,
        key: str | None = None,
        columns: Sequence[int] | None = None,
        stretch: float = 1.0,
    ) -> None:
        super().__init__(key, columns)
        if not stretch > 0:
            raise PolicyError(f"stretch is above 0; got {stretch}")
        self.stretch = stretch

    def observe(self, obs: Observations) -> Observations:
        return self._changed(obs, None)

    def _change(
        self, value: Float[Tensor, "B To n"], key: str, generator: torch.Generator | None
    ) -> Float[Tensor, "B To n"]:
        low, high = self.ranges.bounds(key, self.stretch)
        return value.clamp(low.to(value), high.to(value))


class ObservationNoise(RangedTransform):
    """Adds normal noise to observations in training, so that small errors teach no habit.

    Actions do not change with it: relative ones refer to what was measured.

    Args:
        key: the observation; None for every one that is no image.
        columns: of the key's flattened value; None for all.
        scale: deviation of the noise, in halves of the range that training has seen.

    Raises:
        PolicyError: a negative scale, or columns without a key.
    """

    def __init__(
        self,
        key: str | None = None,
        columns: Sequence[int] | None = None,
        scale: float = 0.01,
    ) -> None:
        super().__init__(key, columns)
        if not scale >= 0:
            raise PolicyError(f"the scale of noise is at least 0; got {scale}")
        self.scale = scale

    def disturb(self, obs: Observations, generator: torch.Generator | None) -> Observations:
        return self._changed(obs, generator)

    def _change(
        self, value: Float[Tensor, "B To n"], key: str, generator: torch.Generator | None
    ) -> Float[Tensor, "B To n"]:
        low, high = self.ranges.bounds(key)
        noise = torch.randn(value.shape, generator=generator).to(value)
        return value + self.scale * ((high - low) / 2).to(value) * noise


class ObservationDropout(RangedTransform):
    """Hides observations from some of the training chunks: they read as the middle of the range.

    A key's history is hidden as a whole, and the keys of one transform apart from one another.

    Args:
        key: the observation; None for every one that is no image.
        columns: of the key's flattened value; None for all.
        rate: part of the chunks.

    Raises:
        PolicyError: a rate outside [0, 1), or columns without a key.
    """

    def __init__(
        self,
        key: str | None = None,
        columns: Sequence[int] | None = None,
        rate: float = 0.1,
    ) -> None:
        super().__init__(key, columns)
        if not 0 <= rate < 1:
            raise PolicyError(f"the rate of dropout lies in [0, 1); got {rate}")
        self.rate = rate

    def disturb(self, obs: Observations, generator: torch.Generator | None) -> Observations:
        return self._changed(obs, generator)

    def _change(
        self, value: Float[Tensor, "B To n"], key: str, generator: torch.Generator | None
    ) -> Float[Tensor, "B To n"]:
        low, high = self.ranges.bounds(key)
        hidden = torch.rand(len(value), generator=generator) < self.rate
        middle = ((low + high) / 2).to(value)
        return torch.where(hidden[:, None, None].to(value.device), middle, value)

"""What every training loss is: called with the same arguments, it returns a scalar.

All of them train the one network F = a x_0 + b eps, so that each can be sampled by every solver.
An objective draws its own times and noise, since some need pairs of times and some need none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...denoiser import Denoiser, per_token
from ...errors import PolicyError
from ...paths import Path
from ...targets import Frame
from ..times import TimeDistribution

#: (data, noise), both `[B, H, Da]` -> a pair to train on (see `couplings`).
Pair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrainingBatch:
    """What a loss is computed from.

    Attributes:
        sample: normalised chunks x_0.
        condition: the network's features of the observations.
        mask: True where the action is real and False where it is padding; None where all are real.
        base: the known x_1 of a path that has one.
        pair: chooses which noise belongs to which data; None leaves them independent.
    """

    sample: Float[Tensor, "B H Da"]
    condition: Float[Tensor, "#B ..."]
    mask: Bool[Tensor, "B H"] | None = None
    base: Float[Tensor, "B H Da"] | None = None
    pair: Pair | None = None


@dataclass(frozen=True)
class Noised:
    """A batch on its way from data to noise.

    Attributes:
        t: times, one a chunk or one a token.
        sample: x_0.
        noise: eps.
        path: the noising path.
        base: the path's known x_1, if it has one.
    """

    t: Float[Tensor, "B"] | Float[Tensor, "B H"]
    sample: Float[Tensor, "B H Da"]
    noise: Float[Tensor, "B H Da"]
    path: Path
    base: Float[Tensor, "B H Da"] | None

    def at(self, t: Float[Tensor, "B"] | Float[Tensor, "B H"]) -> Noised:
        """Return the same batch at other times."""
        return replace(self, t=t)

    @property
    def per_token(self) -> Float[Tensor, "B tokens 1"]:
        """The times in a shape that broadcasts with chunks."""
        return per_token(self.t)

    @property
    def shift(self) -> Float[Tensor, "B H Da"] | float:
        """What the known base adds to the state."""
        return 0.0 if self.base is None else self.path.beta(self.per_token) * self.base

    def state(self, level: Frame) -> Float[Tensor, "B H Da"]:
        """Return x_t as the network sees it."""
        return level.noised(self.sample, self.noise) + self.shift


class Objective(ABC):
    """A training loss.

    Attributes:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t.
        jumps: True if the network learns to jump along the ODE to the data, not the mean of x_0.
    """

    target: str
    times: TimeDistribution
    jumps: ClassVar[bool] = False

    @abstractmethod
    def loss(
        self,
        denoiser: Denoiser,
        batch: TrainingBatch,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """Draw times and noise and return the mean loss over real tokens.

        Args:
            denoiser: the network on its path.
            batch: what to train on.
            generator: the source of times and noise, on the CPU.
        """

    def noised(self, path: Path, batch: TrainingBatch, generator: torch.Generator | None) -> Noised:
        """Return the batch at times and with noise of its own, coupled where it asks for that."""
        sample = batch.sample
        rows, horizon, _ = sample.shape

        t = self.times.sample(rows, horizon, path, generator).to(sample)
        noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype).to(sample.device)
        if batch.pair is not None:
            sample, noise = batch.pair(sample, noise)
        return Noised(t=t, sample=sample, noise=noise, path=path, base=batch.base)


def refuse_weight(objective: Objective, weight: object) -> None:
    """Raise PolicyError where a loss that has a weight of its own is given another."""
    if weight is not None:
        raise PolicyError(
            f"{type(objective).__name__} has a weight of its own; leave weight=target"
        )


def masked_mean(
    error: Float[Tensor, "B H Da"], mask: Bool[Tensor, "B H"] | None
) -> Float[Tensor, ""]:
    """Return the mean error over the tokens where the mask is True."""
    if mask is None:
        return error.mean()

    real = mask.to(error.dtype)
    return (error.mean(-1) * real).sum() / real.sum().clamp(min=1)

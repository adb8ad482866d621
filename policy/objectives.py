"""Losses of a network that denoises: regression, the variational bound, score matching.

Every objective is called with the same arguments and returns a scalar; all of them train the one
network F = a x_0 + b eps, so that each can be sampled by every solver.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .errors import PolicyError
from .paths import LearnedGamma, Path
from .targets import Frame, convert, frame
from .times import TimeDistribution, Uniform
from .weights import Weight

#: (x `[B, H, Da]`, t `[B]` or `[B, H]`) -> the prediction F `[B, H, Da]`.
Network = Callable[[Tensor, Tensor], Tensor]
#: (data, noise), both `[B, H, Da]` -> a pair to train on (see `couplings`).
Pair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Noised:
    """A batch on its way from data to noise.

    Attributes:
        t: times, `[B]` or `[B, H]`.
        sample, noise: x_0 and eps `[B, H, Da]`.
        path: the noising path.
        base: the path's known x_1 `[B, H, Da]`, if it has one.
    """

    t: Tensor
    sample: Tensor
    noise: Tensor
    path: Path
    base: Tensor | None

    def at(self, t: Tensor) -> Noised:
        """Return the same batch at other times."""
        return replace(self, t=t)

    @property
    def per_token(self) -> Tensor:
        """The times in a shape that broadcasts with chunks."""
        return self.t[:, None, None] if self.t.ndim == 1 else self.t[:, :, None]

    @property
    def shift(self) -> Tensor | float:
        """What the known base adds to the state."""
        return 0.0 if self.base is None else self.path.beta(self.per_token) * self.base

    def state(self, level: Frame) -> Tensor:
        """Return x_t as the network sees it."""
        return level.noised(self.sample, self.noise) + self.shift


class Objective(ABC):
    """A training loss.

    Attributes:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t.
    """

    target: str
    times: TimeDistribution

    def loss(
        self,
        network: Network,
        path: Path,
        sample: Tensor,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        base: Tensor | None = None,
        pair: Pair | None = None,
    ) -> Tensor:
        """Draw times and noise and return the mean loss over real tokens, a scalar.

        Args:
            network: maps (x `[B, H, Da]`, t `[B]` or `[B, H]`) to the prediction F `[B, H, Da]`.
            path: the noising path.
            sample: normalised chunks x_0 `[B, H, Da]`.
            mask: `[B, H]`, True where the action is real and False where it is padding.
            generator: the source of times and noise, on the CPU.
            base: the known x_1 `[B, H, Da]` of a path that has one.
            pair: chooses which noise belongs to which data; None leaves them independent.
        """
        batch, horizon, _ = sample.shape
        t = self.times.sample(batch, horizon, path, generator).to(sample)
        noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype).to(sample.device)
        if pair is not None:
            sample, noise = pair(sample, noise)
        return self.of(network, Noised(t, sample, noise, path, base), mask, generator)

    @abstractmethod
    def of(
        self,
        network: Network,
        noised: Noised,
        mask: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the loss of a noised batch, a scalar; arguments as in `loss`."""


@dataclass(frozen=True)
class Denoising(Objective):
    """E w(t) |F(x_t, t) - (a x_0 + b eps)|^2.

    Ho et al. 2020, eq. 14; Lipman et al. 2023, eq. 23; Karras et al. 2022, eq. 2; denoising score
    matching (Vincent 2011) for target "score" or, up to the weight, any other.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t.
        weight: weight of the squared x_0 error; None leaves the target's own squared error.
    """

    target: str = "velocity"
    times: TimeDistribution = field(default_factory=Uniform)
    weight: Weight | None = None

    def of(
        self,
        network: Network,
        noised: Noised,
        mask: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        path, sample = noised.path, noised.sample
        # A path that is learned is not learned here: any weighted error has a trivial minimum.
        with torch.no_grad():
            # At t = 0 there is no noise, and targets that divide by sigma are not defined.
            noised = noised.at(noised.t.clamp(min=path.earliest))
            level = frame(self.target, path, noised.per_token)
            x, wanted = noised.state(level), level.target(noised.sample, noised.noise)
        error = (network(x, noised.t).to(sample.dtype) - wanted) ** 2
        if self.weight is not None:
            # |dx_0|^2 = (sigma / det)^2 |dF|^2
            weight = self.weight.weight(path, noised.per_token) * (level.sigma / level.det) ** 2
            error = error * weight + self.weight.penalty(path, noised.per_token)
        return masked_mean(error, mask)


@dataclass(frozen=True)
class VariationalBound(Objective):
    """The continuous-time bound on -log p(x_0), in bits a dimension (Kingma et al. 2021, eq. 17).

    prior + reconstruction + E_t[-d(SNR)/dt / 2 |x_0 - x_0_hat|^2]; a learned gamma is trained to
    reduce the variance of the estimate. Data count as continuous: bits of their density.

    The integral over t is estimated by importance sampling: each error is divided by the density
    of its time, so the times change the estimate's variance and not its mean. With uniform times on
    a fixed path nearly all of it stands in the few smallest times.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`.
        times: the distribution of t, one that knows its density.
        earliest: where the reconstruction takes over from the diffusion loss.
        weight: must stay None, as the bound has its own.
    """

    target: str = "epsilon"
    times: TimeDistribution = field(default_factory=Uniform)
    earliest: float = 1e-3
    weight: None = None

    def __post_init__(self) -> None:
        _refuse_weight(self, self.weight)

    def of(
        self,
        network: Network,
        noised: Noised,
        mask: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        path, sample = noised.path, noised.sample
        # Draws before the earliest time are outside of the integral, and at 1 outside of the path.
        inside = (noised.t > self.earliest) & (noised.t < 1)
        noised = noised.at(torch.where(inside, noised.t, 0.5))
        t = noised.per_token
        level = frame(self.target, path, t)
        prediction = network(noised.state(level), noised.t)
        estimate = level.sample(noised.state(level) - noised.shift, prediction.to(sample.dtype))
        rate = -path.log_snr_rate(t) * torch.exp(2 * path.log_snr(t))
        importance = inside.reshape(t.shape) / self.times.density(t, path).detach()
        error = importance * rate * (estimate - noised.sample) ** 2
        ends = self._ends(path, noised.sample)
        if isinstance(path, LearnedGamma):  # last: any later use of the path would undo it
            path.reduce_variance(error.mean((1, 2), keepdim=True))
        return masked_mean(error + ends, mask) / math.log(2)

    @torch.no_grad()
    def _ends(self, path: Path, sample: Tensor) -> Tensor:
        """Return the prior's and the reconstruction's nats, elementwise."""
        first, last = sample.new_tensor(self.earliest), sample.new_tensor(1.0)
        # KL of N(alpha x_0, sigma^2) from the prior N(0, sigma^2) at t = 1.
        prior = 0.5 * (path.alpha(last) / path.sigma(last) * sample) ** 2
        # -log N(x_0; x / alpha, (sigma / alpha)^2) at the earliest time, on average.
        reconstruction = 0.5 * math.log(2 * math.pi * math.e) - path.log_snr(first)
        return prior + reconstruction


@dataclass(frozen=True)
class SlicedScoreMatching(Objective):
    """E w(t) (v . grad(v . s) + (v . s)^2 / 2), s the score of x_t (Song et al. 2019, eq. 5).

    It needs no noise target, only the network's own slope along random directions v; its minimum
    is that of denoising score matching, so it serves as an oracle. Backward runs twice.

    Args:
        target: what the network predicts, a name in `targets.TARGETS`; read as a score.
        times: the distribution of t.
        earliest: where the score would diverge with 1 / sigma; times stay above.
        weight: must stay None, as the loss has its own, sigma^2.
    """

    target: str = "epsilon"
    times: TimeDistribution = field(default_factory=Uniform)
    earliest: float = 0.02
    weight: None = None

    def __post_init__(self) -> None:
        _refuse_weight(self, self.weight)

    def of(
        self,
        network: Network,
        noised: Noised,
        mask: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        path, sample = noised.path, noised.sample
        if mask is not None and not bool(mask.all()):
            raise PolicyError(
                "sliced score matching looks at whole chunks and cannot leave padding out; "
                "use data.padding=repeat"
            )
        with torch.no_grad():
            noised = noised.at(noised.t.clamp(min=max(self.earliest, path.earliest)))
            t = noised.per_token
            x = noised.state(frame(self.target, path, t))
            slices = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        x.requires_grad_()
        prediction = network(x, noised.t).to(x.dtype)
        score = convert(prediction, x - noised.shift, path, t, self.target, "score")
        projected = (slices * score).sum((1, 2))
        (slope,) = torch.autograd.grad(projected.sum(), x, create_graph=True)
        # One number a chunk; weighted by sigma^2 as in Song & Ermon 2019, eq. 6.
        value = (slices * slope).sum((1, 2)) + 0.5 * projected**2
        return (value * (path.sigma(t) ** 2).mean((1, 2))).mean() / sample[0].numel()


def _refuse_weight(objective: Objective, weight: object) -> None:
    if weight is not None:
        raise PolicyError(
            f"{type(objective).__name__} has a weight of its own; leave weight=target"
        )


def masked_mean(error: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of error `[B, H, Da]` over the tokens where mask `[B, H]` is True."""
    if mask is None:
        return error.mean()
    real = mask.to(error.dtype)
    return (error.mean(-1) * real).sum() / real.sum().clamp(min=1)

"""Edits that follow the gradient of an energy or of a user's cost.

Where p is replaced by p exp(-E), the score of x_t loses grad_x E_t, and by Tweedie's formula the
x_0 estimate loses (sigma^2 / alpha) grad_x E_t. A gradient step is a constant to later edits: the
vector-Jacobian products of several add up, as scores do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations
from ..errors import PolicyError, unknown_name
from .costs import CostFunction
from .estimate import Estimate, Guidance

#: E_t: (x_t `[B, H, Da]`, t, raw obs) -> `[B]`.
Energy = Callable[[Tensor, float, Observations], Tensor]


def gain(estimate: Estimate, limit: float) -> float:
    """Return sigma^2 / alpha, which turns a gradient in x into a change of x_0, bounded.

    It grows without bound towards pure noise, where the gradient vanishes but its errors do not.
    The bound holds for alpha and sigma scaled to unit length (so that alpha is small where noise
    prevails, also on paths whose sigma grows to 80), which makes it the same along every path.
    """
    length = math.hypot(estimate.alpha, estimate.sigma)
    alpha = estimate.alpha / length
    sigma = estimate.sigma / length
    return length * (sigma**2 / alpha if sigma**2 < limit * alpha else limit)


@dataclass(frozen=True)
class EnergyGradient(Guidance):
    """x_0 - scale (sigma^2 / alpha) grad_x E_t for an energy that knows the noise level.

    With E_t = -log p(y | x_t) this is classifier guidance (Dhariwal & Nichol 2021, algorithm 1);
    with E_t = -log E[exp(-J(x_0)) | x_t] and scale 1 the samples follow p(x_0) exp(-J(x_0)) exactly
    (Lu et al. 2023, theorem 3.1).

    Args:
        energy: E_t(x_t `[B, H, Da]`, t, raw obs) -> `[B]`, differentiable in x_t.
        scale: multiplies the energy.
        limit: bound on sigma^2 / alpha (see `gain`).
    """

    energy: Energy
    scale: float = 1.0
    limit: float = 100.0

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        x = estimate.x.detach().requires_grad_()
        with torch.enable_grad():
            energy = self.energy(x, estimate.t, estimate.obs)
            (gradient,) = torch.autograd.grad(energy.sum(), x)
        return estimate.sample - self.scale * gain(estimate, self.limit) * gradient


@dataclass(frozen=True)
class CostGradient(Guidance):
    """Lowers a cost of the x_0 estimate, by its gradient through the network.

    With g = grad J at the estimate, D its Jacobian in x and C = (sigma^2 / alpha) D^T the posterior
    covariance of x_0, by Tweedie's second-order formula, the step is
        posterior  scale C g: reconstruction guidance (Ho et al. 2022; Chung et al. 2023), exact
                   where p is Gaussian and J linear;
        moment     C g / (1 / scale + g.C g / 2 J): the posterior mean of an observation sqrt(2 J) =
                   0 with deviation 1 / sqrt(scale), linearised (Boys et al. 2023); it never
                   overshoots and stays finite at alpha = 0, but J must not be negative; exact where
                   p is Gaussian and sqrt(J) linear;
        dps        scale D^T g / sqrt(2 J): constant but for the Jacobian (Chung et al. 2023,
                   whose step is on x_t).

    Args:
        cost: J(actions `[B, H, Da]` in the data's units, raw obs) -> `[B]`, in nats.
        scale: multiplies the cost.
        step: "moment", "posterior" or "dps".
        interval: times (low, high) within which to guide.
        limit: bound on sigma^2 / alpha in "posterior" (see `gain`).
        reach: bound on the change of any normalised action by one step; the data's range is 2.
        n_samples: where above 0, J is -log E[exp(-J)] over so many x_0 about the estimate, as if
            the data had unit variance (loss-guided diffusion, Song et al. 2023b). They are
            the same in every call, pairs of opposite sign.

    Raises:
        PolicyError: an unknown step, an odd number of samples, or (when called) a negative cost
            with a step other than "posterior".
    """

    cost: CostFunction
    scale: float = 1.0
    step: str = "moment"
    interval: Sequence[float] = (0.0, 1.0)
    limit: float = 10.0
    reach: float = 1.0
    n_samples: int = 0
    needs_gradient = True

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise unknown_name("gradient step", self.step, STEPS)
        if self.n_samples % 2:
            raise PolicyError(f"samples of the cost come in pairs; n_samples is {self.n_samples}")

    def __call__(self, estimate: Estimate) -> Float[Tensor, "B H Da"]:
        """Return the edited estimate."""
        low, high = self.interval
        if self.scale == 0 or not low <= estimate.t <= high:
            return estimate.sample

        cost, gradient = self._slope(estimate)
        # Looking at a value on a GPU would make every step wait for it.
        on_cpu = gradient.device.type == "cpu"
        if on_cpu and not gradient.any():
            return estimate.sample  # nothing to lower: spare the network's backward pass
        if on_cpu and self.step != "posterior" and bool((cost < 0).any()):
            raise PolicyError(
                f"step '{self.step}' takes a cost for half a square, which is never negative; "
                "shift the cost or use step 'posterior'"
            )

        change = STEPS[self.step](self, estimate, cost, gradient)
        largest = change.abs().amax((-2, -1), keepdim=True)
        return estimate.sample - change * (self.reach / largest).clamp(max=1)

    def _slope(self, estimate: Estimate) -> tuple[Float[Tensor, "B"], Float[Tensor, "B H Da"]]:
        """Return J and its gradient in the normalised estimate."""
        sample = estimate.sample.detach().requires_grad_()
        with torch.enable_grad():
            cost = self._cost(estimate, sample)
            (gradient,) = torch.autograd.grad(cost.sum(), sample)
        return cost.detach(), gradient

    def _cost(self, estimate: Estimate, sample: Float[Tensor, "B H Da"]) -> Float[Tensor, "B"]:
        """Return J at the estimate, or averaged about it."""
        if self.n_samples == 0:
            return self.cost(estimate.to_actions(sample), estimate.obs)

        spread = estimate.sigma / math.hypot(estimate.alpha, estimate.sigma)
        half = torch.randn(
            self.n_samples // 2, *sample.shape[1:], generator=torch.Generator().manual_seed(0)
        )
        costs = [
            self.cost(estimate.to_actions(sample + sign * spread * noise), estimate.obs)
            for noise in half.to(sample)
            for sign in (1, -1)
        ]
        return math.log(self.n_samples) - torch.stack([-c for c in costs]).logsumexp(0)


def _posterior(
    edit: CostGradient,
    estimate: Estimate,
    cost: Float[Tensor, "B"],
    gradient: Float[Tensor, "B H Da"],
) -> Float[Tensor, "B H Da"]:
    """Return the change of one step, see `CostGradient`."""
    return edit.scale * gain(estimate, edit.limit) * estimate.vjp(gradient)


def _moment(
    edit: CostGradient,
    estimate: Estimate,
    cost: Float[Tensor, "B"],
    gradient: Float[Tensor, "B H Da"],
) -> Float[Tensor, "B H Da"]:
    """Return the change of one step, see `CostGradient`."""
    product = estimate.vjp(gradient)
    # Everything is multiplied by alpha / sigma^2, which vanishes where C has no bound.
    slope = (gradient * product).sum((-2, -1), keepdim=True)
    per_nat = slope / (2 * _column(cost))
    damped = product / (estimate.alpha / (edit.scale * estimate.sigma**2) + per_nat)
    # A covariance has no direction of negative slope; a network's Jacobian may.
    return torch.where((per_nat > 0) & per_nat.isfinite(), damped, 0.0)


def _dps(
    edit: CostGradient,
    estimate: Estimate,
    cost: Float[Tensor, "B"],
    gradient: Float[Tensor, "B H Da"],
) -> Float[Tensor, "B H Da"]:
    """Return the change of one step, see `CostGradient`."""
    step = edit.scale * math.hypot(estimate.alpha, estimate.sigma)
    residual = _column(2 * cost).sqrt()
    return torch.where(residual > 0, step / residual * estimate.vjp(gradient), 0.0)


def _column(value: Float[Tensor, "B"]) -> Float[Tensor, "B 1 1"]:
    """Return one number a chunk in a shape that broadcasts with chunks."""
    return value[:, None, None]


#: step of `CostGradient` -> (edit, estimate, J `[B]`, its gradient `[B, H, Da]`) -> change.
STEPS: dict[str, Callable[[CostGradient, Estimate, Tensor, Tensor], Tensor]] = {
    "posterior": _posterior,
    "moment": _moment,
    "dps": _dps,
}

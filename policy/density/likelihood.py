"""Exact log-likelihood of chunks by the probability-flow ODE.

The instantaneous change of variables (Chen et al. 2018, theorem 1; Song et al. 2021, eq. 39):
    log p(x_0) = log p_1(x_1) + integral of div v from data to noise,
with v the ODE's velocity, x_1 where x_0 flows to, and p_1 the noise that samplers start from,
N(0, sigma(1)^2). It is the density of what the ODE makes of that noise.

Demonstrations may be deterministic, and dimensions constant: their density is infinite. What is
returned is therefore the density of the actions blurred by normal noise of deviation `floor` in
normalised units (1e-3: a thousandth of half the range of an action). A dimension without any
spread then adds at most log(1 / floor) - log(2 pi) / 2 nats a step, and a smooth density differs by
floor^2 / 2 times its relative curvature.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion_policy import DiffusionPolicy
from ..encoders.encoder import Observations
from ..errors import PolicyError, unknown_name
from .ode import FLOOR, FlowLevel, ProbabilityFlow, adaptive

#: `[B, ...]` -> `[B, ...]`, a function that treats rows apart.
Function = Callable[[Tensor], Tensor]

#: (function, x `[B, ...]`) -> the trace of the function's Jacobian at x `[B]`.
Trace = Callable[[Function, Tensor], Tensor]

#: How the divergence may be found.
DIVERGENCES = ("exact", "hutchinson")

#: The least number of steps: what the rule of integration needs.
MIN_STEPS = 9

#: Rows of one batched Jacobian product; bounds the memory.
_MAX_ROWS = 4096


def chunk_log_likelihood(
    policy: DiffusionPolicy,
    obs: Observations,
    actions: Float[Tensor, "B H Da"],
    n_steps: int = 100,
    divergence: str = "exact",
    generator: torch.Generator | None = None,
    *,
    n_probes: int = 1,
    floor: float = FLOOR,
) -> Float[Tensor, "B"]:
    """Return log p(actions | obs) in nats, a density in the units of the actions.

    All H x Da numbers of the chunk count, also those that training masked as padding: the density
    of some of them alone would be an integral over the others. The ODE ends at the noise level
    where the policy's sampler starts. On a path that starts from the previous chunk this is the
    density of a chunk that was planned without one.

    Args:
        policy: a trained policy; its solver, guidance and clamp play no part.
        obs: raw observations.
        actions: chunks in the data's units.
        n_steps: steps of RK4, at least MIN_STEPS.
        divergence: "exact", or "hutchinson": unbiased, H x Da / n_probes times cheaper.
        generator: the source of Hutchinson's probes.
        n_probes: probes a chunk.
        floor: deviation of the noise that blurs the actions, see above.

    Raises:
        PolicyError: an unknown divergence, too few steps, or chunks of another shape.
    """
    if divergence not in DIVERGENCES:
        raise unknown_name("divergence", divergence, DIVERGENCES)
    if actions.shape[1:] != (policy.horizon, policy.action_dim):
        raise PolicyError(
            f"chunks are {list(actions.shape[1:])}; the policy plans "
            f"{[policy.horizon, policy.action_dim]} (horizon, action_dim)"
        )

    device = next(policy.parameters()).device
    here = {key: value.to(device) for key, value in obs.items()}
    sample = policy.border.to_network(actions.to(device), here)
    trace: Trace = exact_trace
    if divergence == "hutchinson":
        trace = hutchinson_trace(rademacher((n_probes, *sample.shape), generator).to(sample))

    with torch.no_grad():
        ceiling = float(policy.path.angle(policy.table.t.max()))
        flow = ProbabilityFlow(policy.path, policy.estimator(here), floor=floor, ceiling=ceiling)
        normalised = log_likelihood(flow, sample, trace, n_steps=n_steps)
        return normalised - policy.border.log_volume(policy.horizon)


def rademacher(
    shape: tuple[int, ...], generator: torch.Generator | None = None
) -> Float[Tensor, "..."]:
    """Return independent signs, -1 or 1, as floats."""
    return 2.0 * torch.randint(0, 2, shape, generator=generator) - 1.0


def exact_trace(function: Function, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B"]:
    """Return the trace of the Jacobian, from one of its rows for each of the D entries."""
    entries = x[0].numel()
    basis = torch.eye(entries, dtype=x.dtype, device=x.device).view(entries, 1, *x.shape[1:])
    return _quadratic_forms(function, x, basis.expand(-1, *x.shape)).sum(0)


def hutchinson_trace(probes: Float[Tensor, "P B ..."]) -> Trace:
    """Return the unbiased estimate of the trace by probes of mean 0 and covariance 1.

    Hutchinson 1990; as in FFJORD (Grathwohl et al. 2019) the probes stay the same along a path.
    """

    def trace(function: Function, x: Tensor) -> Tensor:
        return _quadratic_forms(function, x, probes).mean(0)

    return trace


def _quadratic_forms(
    function: Function, x: Float[Tensor, "B ..."], directions: Float[Tensor, "N B ..."]
) -> Float[Tensor, "N B"]:
    """Return v^T J v for the directions v, without forming J.

    By batched backward passes: at one chunk they take half the time of forward derivatives.
    """
    # The fused kernels of attention have no batched derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        point = x.detach().requires_grad_()
        value = function(point)
        products = [
            torch.autograd.grad(value, point, some, retain_graph=True, is_grads_batched=True)[0]
            for some in torch.split(directions, max(1, _MAX_ROWS // len(x)))
        ]
    return (torch.cat(products) * directions).flatten(2).sum(2)


def log_likelihood(
    flow: ProbabilityFlow,
    sample: Float[Tensor, "B ..."],
    trace: Trace = exact_trace,
    *,
    n_steps: int = 100,
    prior: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "B"]:
    """Return log p of normalised samples, in nats.

    RK4 finds the states and the divergence is integrated along them by a sixth-order rule.

    Args:
        flow: the ODE of a model.
        sample: points x_0.
        trace: how the divergence is found.
        n_steps: steps of RK4, at least MIN_STEPS.
        prior: log density of x_1 `[B, ...]`; None for N(0, sigma(1)^2).

    Raises:
        PolicyError: too few steps.
    """
    if n_steps < MIN_STEPS:
        raise PolicyError(f"the likelihood needs n_steps >= {MIN_STEPS}; got {n_steps}")

    first, last = flow.ends
    h = (last - first) / n_steps
    weights = _gregory(n_steps + 1)
    walked = flow.walk(flow.start(sample), n_steps)

    total = torch.zeros(len(sample), dtype=sample.dtype, device=sample.device)
    for weight, (level, u) in zip(weights, walked, strict=True):
        total = total + h * weight * divergence(flow, u, level, trace)
    return total + _ends(flow, u, prior)


def log_likelihood_adaptive(
    flow: ProbabilityFlow,
    sample: Float[Tensor, "B ..."],
    trace: Trace = exact_trace,
    *,
    tolerance: float = 1e-6,
    prior: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "B"]:
    """As `log_likelihood`, with state and divergence by the adaptive RK45 of torchdiffeq."""
    first, last = flow.ends
    shape = sample.shape

    def slope(s: float, state: Tensor) -> Tensor:
        """Return the rates of the integral of the divergence and of the state."""
        u = state[:, 1:].view(shape)
        level = flow.at(s)
        change = flow.velocity(u, level).flatten(1)
        return torch.cat([divergence(flow, u, level, trace)[:, None], change], 1)

    start = torch.cat([sample.new_zeros(len(sample), 1), flow.start(sample).flatten(1)], 1)
    end = adaptive(slope, start, first, last, tolerance)
    return end[:, 0] + _ends(flow, end[:, 1:].view(shape), prior)


def divergence(
    flow: ProbabilityFlow, u: Float[Tensor, "B ..."], level: FlowLevel, trace: Trace
) -> Float[Tensor, "B"]:
    """Return the divergence of du/ds at the state u."""
    shrinking = trace(lambda u: flow.x0(u, level), u)
    return level.pace * (level.cos * u[0].numel() - shrinking)


def _gregory(n: int) -> list[float]:
    """Return weights of the trapezoid with Gregory's corrections on n >= 10 points, sixth order."""
    edge = [95 / 288, 317 / 240, 23 / 30, 793 / 720, 157 / 160]
    return [*edge, *[1.0] * (n - 10), *reversed(edge)]


def _ends(
    flow: ProbabilityFlow, u: Float[Tensor, "B ..."], prior: Callable[[Tensor], Tensor] | None
) -> Float[Tensor, "B"]:
    """Return the log density of u at the noise, and what the scales of both ends add."""
    first, last = (flow.at(s) for s in flow.ends)
    entries = u[0].numel()
    # u = cos x_0 at the data: the blurred x_0 has the density of u times cos^entries.
    scale = entries * math.log(first.cos)
    if prior is not None:
        return prior(last.length * u) + entries * math.log(last.length) + scale

    sigma = math.sin(last.angle)
    square = (u / sigma).square().flatten(1).sum(1)
    return -0.5 * square - entries * (math.log(sigma) + 0.5 * math.log(2 * math.pi)) + scale

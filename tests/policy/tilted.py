"""Guidance on distributions whose guided law is known exactly, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from oracles import Denoiser, Mixture, walk
from torch import Tensor

from kinoise.policy.guidance.estimate import Estimate, Guidance
from kinoise.policy.paths import Path
from kinoise.policy.sampling.grids import UniformLogSNR
from kinoise.policy.sampling.registry import compile_table


def edited(
    denoise: Denoiser,
    path: Path,
    edits: Sequence[Guidance],
    blind: Denoiser | None = None,
    horizon: int = 1,
    action_dim: int = 1,
    **changes: Any,
) -> Denoiser:
    """Return the x_0 estimate after edits as a policy would make it, as a function of (x, t).

    x has n H Da entries in any shape, t is one number; `blind` is the estimate without
    observations; chunks are their own normalisation unless `changes` says otherwise.
    """

    def estimate(x: Tensor, t: Tensor) -> Tensor:
        chunk = x.detach().reshape(-1, horizon, action_dim).requires_grad_()
        with torch.enable_grad():
            now = Estimate(
                **{
                    "sample": denoise(chunk, t),
                    "x": chunk,
                    "t": float(t),
                    "alpha": float(path.alpha(t)),
                    "sigma": float(path.sigma(t)),
                    "row": 0,
                    "n_rows": 1,
                    "obs": {},
                    "to_actions": lambda value: value,
                    "to_normalized": lambda value: value,
                    "without_obs": lambda: (blind or denoise)(chunk, t),
                    **changes,
                }
            )
            for edit in edits:
                now.sample = edit(now)
        return now.sample.detach().reshape(x.shape)

    return estimate


def samples(denoise: Denoiser, path: Path, n: int, entries: int = 1) -> Tensor:
    """Return n samples `[n, entries]` of the probability-flow ODE, by DPM-Solver++ 2M."""
    grid = UniformLogSNR(sigma_min=0.01, sigma_max=40.0)
    table = compile_table("dpmpp_2m", grid(40, path), path)
    generator = torch.Generator().manual_seed(3)
    noises = torch.randn(1, n * entries, generator=generator, dtype=torch.float64)
    return walk(table, denoise, noises).reshape(n, entries)


def tilted(mixture: Mixture, slope: float) -> Mixture:
    """Return the mixture proportional to p(x) exp(slope x)."""
    shift = slope * mixture.stds**2
    logit = mixture.weights.log() + slope * mixture.means + slope * shift / 2
    return Mixture(logit.softmax(-1), mixture.means + shift, mixture.stds)


def tilt_energy(mixture: Mixture, path: Path, slope: float, x: Tensor, t: Tensor) -> Tensor:
    """Return E_t(x) = -log E[exp(slope x_0) | x_t = x], of any shape."""
    logit, residual, variance = mixture.components(path, x, t)
    mean = mixture.means + path.alpha(t) * mixture.stds**2 * residual / variance
    spread = (mixture.stds * path.sigma(t)) ** 2 / variance
    growth = logit.log_softmax(-1) + slope * mean + slope**2 * spread / 2
    return -growth.logsumexp(-1)


@dataclass(frozen=True)
class RoundMixture:
    """A mixture of Gaussians in the plane: weights `[K]`, means `[K, 2]`, one deviation for all."""

    weights: Tensor
    means: Tensor
    std: float

    def denoiser(self, path: Path) -> Denoiser:
        """Return E[x_0 | x_t] for x `[n, 1, 2]`."""

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            alpha, variance = path.alpha(t), (path.alpha(t) * self.std) ** 2 + path.sigma(t) ** 2
            residual = x[..., None, :] - alpha * self.means
            logit = self.weights.log() - residual.square().sum(-1) / (2 * variance)
            posterior = self.means + alpha * self.std**2 / variance * residual
            return (logit.softmax(-1)[..., None] * posterior).sum(-2)

        return denoise

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n samples `[n, 2]`."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return self.means[k] + self.std * noise


def planar_energy_distance(a: Tensor, b: Tensor) -> float:
    """Return the energy distance of two samples in the plane, each `[n, 2]`."""

    def mean(x: Tensor, y: Tensor) -> float:
        return float(torch.cdist(x, y).mean())

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)

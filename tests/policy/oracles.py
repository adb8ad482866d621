"""Distributions whose denoisers are known exactly, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kinoise.policy.paths import Path
from kinoise.policy.sampling.table import Table

#: (x, t) -> E[x_0 | x_t = x]
Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians on the line: weights, means and standard deviations, each `[K]`."""

    weights: Tensor
    means: Tensor
    stds: Tensor

    def components(self, path: Path, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weight, mean residual and variance of each component at x, `[..., K]`."""
        variance = (path.alpha(t) * self.stds) ** 2 + path.sigma(t) ** 2
        residual = x[..., None] - path.alpha(t) * self.means
        logit = self.weights.log() - residual**2 / (2 * variance) - variance.log() / 2
        return logit, residual, variance

    def log_density(self, path: Path, x: Tensor, t: Tensor) -> Tensor:
        """Return log p_t(x) up to a constant."""
        return torch.logsumexp(self.components(path, x, t)[0], -1)

    def denoiser(self, path: Path) -> Denoiser:
        """Return E[x_0 | x_t], by conditioning each component."""

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            residual, variance, gain = self._parts(path, x, t)
            logit = self._column(self.weights.log(), x) - variance.log() / 2
            logit = torch.addcdiv(logit, residual * residual, variance, value=-0.5)
            posterior = torch.addcmul(self._column(self.means, x), gain, residual)
            return (logit.softmax(0) * posterior).sum(0)

        return denoise

    def distribution(self, path: Path, x: Tensor, t: Tensor) -> Tensor:
        """Return P(x_t <= x)."""
        residual, variance, _ = self._parts(path, x, t)
        below = torch.special.ndtr(residual / variance.sqrt())
        return (self._column(self.weights, x) * below).sum(0)

    def _parts(self, path: Path, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return residual, variance and the gain of each component, `[K, ...]`.

        Components come first here, five times as fast as last; t is one number or `[..., 1]`.
        """
        alpha, sigma = (v[..., 0] if t.ndim else v for v in (path.alpha(t), path.sigma(t)))
        stds = self._column(self.stds, x)
        variance = (alpha * stds) ** 2 + sigma**2
        return x - alpha * self._column(self.means, x), variance, alpha * stds**2 / variance

    @staticmethod
    def _column(values: Tensor, x: Tensor) -> Tensor:
        return values.view(-1, *[1] * x.ndim)

    def flow_map(self, path: Path) -> Denoiser:
        """Return where the probability-flow ODE takes x_t: on the line, to the same quantile."""
        x_0 = torch.linspace(-4, 4, 20001, dtype=torch.float64)
        reached = self.distribution(path, x_0, torch.zeros((), dtype=torch.float64))

        def jump(x: Tensor, t: Tensor) -> Tensor:
            quantile = self.distribution(path, x, t)
            above = torch.searchsorted(reached, quantile).clamp(1, len(x_0) - 1)
            share = (quantile - reached[above - 1]) / (reached[above] - reached[above - 1])
            return torch.lerp(x_0[above - 1], x_0[above], share.nan_to_num(0.5).clamp(0, 1))

        return jump

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n samples."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, generator=generator, dtype=torch.float64)
        return self.means[k] + self.stds[k] * noise


TWO_MODES = Mixture(
    torch.tensor([0.35, 0.65], dtype=torch.float64),
    torch.tensor([-0.8, 0.6], dtype=torch.float64),
    torch.tensor([0.25, 0.35], dtype=torch.float64),
)


def walk(table: Table, denoise: Denoiser, noises: Tensor) -> Tensor:
    """Run a table in float64 without `run_table`, row by row; noises `[1 + M, n]`."""
    n = table.n_evaluations
    estimates = torch.zeros(n, *noises.shape[1:], dtype=torch.float64)
    fixed = table.init[:, None] * noises[0] + table.noise @ noises[1:]
    for k in range(n):
        state = fixed[k] + table.estimate[k, :k] @ estimates[:k]
        estimates[k] = denoise(state, table.t[k])
    return fixed[n] + table.estimate[n] @ estimates


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Return the energy distance of two samples on the line, each `[n]`."""

    def total(x: Tensor) -> Tensor:
        """The sum of |x_i - x_j| over all ordered pairs, from the sorted sample."""
        rank = torch.arange(len(x), dtype=x.dtype)
        return 2 * ((2 * rank - len(x) + 1) * x.sort()[0]).sum()

    within = total(a), total(b)
    across = (total(torch.cat([a, b])) - within[0] - within[1]) / 2
    return float(2 * across / (len(a) * len(b)) - within[0] / len(a) ** 2 - within[1] / len(b) ** 2)


def fine_ode(path: Path, denoise: Denoiser, x: Tensor, start: float, stop: float) -> Tensor:
    """Solve the probability-flow ODE from angle time `start` to `stop` by RK4 in log-SNR.

    In y = x / alpha and rho = sigma / alpha every Gaussian path is dy/drho = (y - x_0) / rho.
    """
    ends = path.angle(torch.tensor([start, stop], dtype=torch.float64)).tan().log().tolist()
    grid = torch.linspace(*ends, 1001, dtype=torch.float64)

    def slope(log_rho: Tensor, y: Tensor) -> Tensor:
        t = path.time_at(torch.atan(log_rho.exp()))
        return y - denoise(y * path.alpha(t), t)

    y = x / path.alpha(torch.tensor(start, dtype=torch.float64))
    for a, b in pairwise(grid):
        h = b - a
        k1 = slope(a, y)
        k2 = slope(a + h / 2, y + h / 2 * k1)
        k3 = slope(a + h / 2, y + h / 2 * k2)
        k4 = slope(b, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y * path.alpha(torch.tensor(stop, dtype=torch.float64))

"""Sources of chunks whose plans are known: constants, counters, and two ways to a goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tiny
import torch
from torch import Tensor

from kinoise.policy.control import Execution
from kinoise.policy.control.receding_horizon import RecedingHorizonController
from kinoise.policy.diffusion_policy import DiffusionPolicy

HORIZON = 8


class Constant:
    """Plans the same two numbers for ever, and counts its calls and their rows."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(
        self, obs: Mapping[str, Tensor], generator: Sequence[torch.Generator], *, previous: Any
    ) -> Tensor:
        self.rows.append(len(generator))
        return torch.tensor([0.1, -0.7]).expand(len(generator), HORIZON, 2).clone()


class Noisy:
    """Plans noise of the row's own generator around the present observation."""

    def __call__(
        self, obs: Mapping[str, Tensor], generator: Sequence[torch.Generator], *, previous: Any
    ) -> Tensor:
        noise = torch.stack([torch.randn(HORIZON, 2, generator=one) for one in generator])
        return obs["x"][:, -1:, :1] + noise


def act(
    controller: RecedingHorizonController, seeds: Sequence[int], n_ticks: int, first: int = 0
) -> np.ndarray:
    """Return the actions `[ticks, n, Da]` of some episodes, each observing seed and tick."""
    return np.stack(
        [
            controller(
                [{"x": np.array([seed + 0.1 * tick, tick], np.float32)} for seed in seeds],
                list(seeds),
                [tick] * len(seeds),
            )
            for tick in range(first, first + n_ticks)
        ]
    )


def bimodal(execution: Execution, std: float = 0.02) -> DiffusionPolicy:
    """Return a policy with the exact denoiser of two equally likely plans, all -1 or all +1.

    Its network predicts x_0 of the mixture of two normal distributions; observations do not count.
    """
    policy = tiny.policy(
        objective=tiny.objective("sample"),
        execution=execution,
        sampler={
            "_target_": "kinoise.policy.sampling.Sampler",
            "solver": "ddim",
            "n_steps": 10,
            "grid": {"_target_": "kinoise.policy.sampling.grids.UniformTime", "start": 0.99},
        },
        clip_sample=None,
    ).eval()
    goals = torch.tensor([-1.0, 1.0])

    def denoise(x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        alpha, sigma = 1 - times, times
        variance = (alpha * std) ** 2 + sigma**2
        residual = x[..., None] - alpha * goals
        weights = (-residual.square().sum((1, 2)) / (2 * variance)).softmax(-1)
        posterior = goals + alpha * std**2 / variance * residual
        return (posterior * weights[:, None, None]).sum(-1)

    policy.network.times = lambda t: t  # type: ignore[method-assign]
    policy.network.denoise = denoise  # type: ignore[method-assign]
    policy._forget_rows()
    return policy

"""Which noise belongs to which data: `coupling(sample, noise, obs)` -> the pair to train on.

None in the place of a coupling leaves data and noise independent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import PolicyError

if TYPE_CHECKING:
    from ..diffusion_policy import DiffusionPolicy

Obs = Mapping[str, Tensor]


class Coupling(ABC):
    """Joins a batch of data with a batch of noise."""

    @abstractmethod
    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        """Return (data, noise), both `[B, H, Da]`.

        Args:
            sample: normalised chunks x_0 `[B, H, Da]`.
            noise: as many draws of noise `[B, H, Da]`.
            obs: raw observations, key -> `[B, To, ...]`.
        """


@dataclass(frozen=True)
class Hungarian(Coupling):
    """The assignment of noise to data in the minibatch that moves least: OT-CFM (Tong et al. 2024).

    Exact optimal transport between the two batches by scipy's `linear_sum_assignment`.

    Args:
        condition_weight: cost of giving a chunk noise that was drawn for another observation
            (Cheng & Schwing 2025, C2OT). At 0 chunks of all observations compete for the noise:
            it then tells which chunk to make, and a policy believes it more than what it sees.
    """

    condition_weight: float = 10.0

    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        optimize = _theory("scipy.optimize")
        cost = _cost(sample, noise, obs, self.condition_weight)
        _, columns = optimize.linear_sum_assignment(cost.numpy(force=True))
        return sample, noise[torch.as_tensor(columns, device=noise.device)]


@dataclass(frozen=True)
class Sinkhorn(Coupling):
    """Noise drawn for each chunk from the entropic transport plan (Tong et al. 2024; POT).

    Args:
        regularisation: entropy's factor over the mean cost; 0 would be `Hungarian`.
        n_iterations: at most this many Sinkhorn iterations.
        condition_weight: as in `Hungarian`.
    """

    regularisation: float = 0.05
    n_iterations: int = 200
    condition_weight: float = 10.0

    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        ot = _theory("ot")
        cost = _cost(sample, noise, obs, self.condition_weight).double().cpu()
        n = len(cost)
        plan = ot.sinkhorn(
            torch.full((n,), 1 / n).double(),
            torch.full((n,), 1 / n).double(),
            cost,
            self.regularisation,
            method="sinkhorn_log",
            numItermax=self.n_iterations,
            warn=False,
        )
        # torch's global generator, which the trainer seeds at every step.
        return sample, noise[torch.multinomial(plan, 1).squeeze(1).to(noise.device)]


@dataclass(frozen=True)
class Reflow(Coupling):
    """Noise with the chunk that a trained policy makes of it (Liu et al. 2023, rectified flow).

    The pairs straighten the paths, so that few steps suffice. They are made as they are needed, by
    the teacher's own sampler, from the very observations of the batch.

    Args:
        teacher: a run's folder, or one of its checkpoints.
    """

    teacher: str

    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        teacher = self._policy
        if teacher.table.n_noises:
            raise PolicyError(
                f"reflow needs a deterministic teacher; '{self.teacher}' samples with fresh noise"
            )
        with torch.autocast(noise.device.type, enabled=False):
            chunk = teacher.transport(obs, noise.float())
        return chunk.to(sample.dtype), noise

    @cached_property
    def _policy(self) -> DiffusionPolicy:
        # Read at the first use: running the student needs no teacher.
        from ..checkpoints import load_policy

        return load_policy(self.teacher)


def _cost(sample: Tensor, noise: Tensor, obs: Obs, condition_weight: float) -> Tensor:
    """Return the cost `[B, B]` of giving chunk i the noise j, in units of the mean distance."""
    cost = _relative(torch.cdist(sample.flatten(1), noise.flatten(1)) ** 2)
    vectors = [value.flatten(1).to(sample) for value in obs.values() if value.ndim < 5]
    if condition_weight == 0 or not vectors:
        return cost
    seen = torch.cat(vectors, 1)
    seen = (seen - seen.mean(0)) / seen.std(0).clamp(min=1e-6)
    return cost + condition_weight * _relative(torch.cdist(seen, seen) ** 2)


def _relative(distance: Tensor) -> Tensor:
    return distance / distance.mean().clamp(min=1e-12)


def _theory(module: str) -> Any:
    """Import a module of the extra `theory`."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PolicyError(
            f"this needs {module.split('.')[0]}; install it with: pip install 'kinoise[theory]'"
        ) from error

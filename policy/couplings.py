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

from .errors import PolicyError

if TYPE_CHECKING:
    from .diffusion_policy import DiffusionPolicy

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

    Exact optimal transport between the two batches by scipy's `linear_sum_assignment`. Chunks of
    other observations compete for the noise, so p(noise | obs) is no longer quite normal: the
    smaller the batch, the less it matters.
    """

    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        optimize = _theory("scipy.optimize")
        cost = torch.cdist(sample.flatten(1), noise.flatten(1)) ** 2
        _, columns = optimize.linear_sum_assignment(cost.numpy(force=True))
        return sample, noise[torch.as_tensor(columns, device=noise.device)]


@dataclass(frozen=True)
class Sinkhorn(Coupling):
    """Noise drawn for each chunk from the entropic transport plan (Tong et al. 2024; POT).

    Args:
        regularisation: entropy's factor over the mean cost; 0 would be `Hungarian`.
        n_iterations: at most this many Sinkhorn iterations.
    """

    regularisation: float = 0.05
    n_iterations: int = 200

    def __call__(self, sample: Tensor, noise: Tensor, obs: Obs) -> tuple[Tensor, Tensor]:
        ot = _theory("ot")
        cost = (torch.cdist(sample.flatten(1), noise.flatten(1)) ** 2).double().cpu()
        n = len(cost)
        plan = ot.sinkhorn(
            torch.full((n,), 1 / n).double(),
            torch.full((n,), 1 / n).double(),
            cost / cost.mean(),
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
        from .checkpoint import load_policy

        return load_policy(self.teacher)


def _theory(module: str) -> Any:
    """Import a module of the extra `theory`."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PolicyError(
            f"this needs {module.split('.')[0]}; install it with: pip install 'kinoise[theory]'"
        ) from error

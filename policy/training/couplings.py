"""Which noise belongs to which data: `coupling(sample, noise, obs)` -> the pair to train on.

Without a coupling (`None`) data and noise are independent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..encoders.encoder import Observations
from ..errors import PolicyError
from ..sampling import Table
from ..shapes import Chunks


class Coupling(ABC):
    """Joins a batch of data with a batch of noise."""

    @abstractmethod
    def __call__(self, sample: Chunks, noise: Chunks, obs: Observations) -> tuple[Chunks, Chunks]:
        """Return data and the noise that belongs to them.

        Args:
            sample: normalised chunks x_0.
            noise: as many draws of noise.
            obs: raw observations.
        """


@dataclass(frozen=True)
class Hungarian(Coupling):
    """The assignment of noise to data in the minibatch that moves least: OT-CFM (Tong et al. 2024).

    Exact optimal transport between the two batches by scipy's `linear_sum_assignment`. Noise that
    was drawn for another observation costs extra (Cheng & Schwing 2025, C2OT). Without that cost
    the noise would tell which chunk to make, and a policy would trust it more than what it sees.

    Args:
        condition_weight: the extra cost, in units of the mean distance; None chooses it for every
            batch by `candidates`.
        candidates: part of the foreign noises that may still be cheaper than a chunk's own.
    """

    condition_weight: float | None = None
    candidates: float = 0.1

    def __post_init__(self) -> None:
        _check_weight(self.condition_weight, self.candidates)

    def __call__(self, sample: Chunks, noise: Chunks, obs: Observations) -> tuple[Chunks, Chunks]:
        optimize = _scipy_optimize()
        cost = transport_cost(sample, noise, obs, self.condition_weight, self.candidates)
        _, columns = optimize.linear_sum_assignment(cost.numpy(force=True))
        return sample, noise[torch.as_tensor(columns, device=noise.device)]


@dataclass(frozen=True)
class Sinkhorn(Coupling):
    """Noise drawn for each chunk from the entropic transport plan (Tong et al. 2024; POT).

    Args:
        regularisation: entropy's factor over the mean cost; 0 would be `Hungarian`.
        n_iterations: at most this many Sinkhorn iterations.
        condition_weight: as in `Hungarian`.
        candidates: as in `Hungarian`.
    """

    regularisation: float = 0.05
    n_iterations: int = 200
    condition_weight: float | None = None
    candidates: float = 0.1

    def __post_init__(self) -> None:
        _check_weight(self.condition_weight, self.candidates)

    def __call__(self, sample: Chunks, noise: Chunks, obs: Observations) -> tuple[Chunks, Chunks]:
        ot = _pot()
        cost = transport_cost(sample, noise, obs, self.condition_weight, self.candidates)
        cost = cost.double().cpu()
        n = len(cost)
        equal = torch.full((n,), 1 / n).double()

        plan = ot.sinkhorn(
            equal,
            equal,
            cost,
            self.regularisation,
            method="sinkhorn_log",
            numItermax=self.n_iterations,
            warn=False,
        )

        # Drawn by torch's global generator, which the trainer seeds at every step.
        return sample, noise[torch.multinomial(plan, 1).squeeze(1).to(noise.device)]


@runtime_checkable
class Teacher(Protocol):
    """What reflow asks of a trained policy.

    Attributes:
        table: its compiled sampler.
    """

    table: Table

    def transport(self, obs: Observations, noise: Chunks) -> Chunks:
        """Return the normalised chunks that the sampler makes of `noise`."""


@dataclass(frozen=True)
class Reflow(Coupling):
    """Noise with the chunk that a trained policy makes of it (Liu et al. 2023, rectified flow).

    The pairs straighten the paths, so that few steps suffice. Each batch's pairs are made when it
    is trained on, by the teacher's own sampler and from the observations of the batch.

    Args:
        teacher: a run's folder, or one of its checkpoints.
        policy: the policy found there, handed in by `taught_by` before training; to run the student
            it stays None.
    """

    teacher: str
    policy: Teacher | None = None

    def taught_by(self, policy: Teacher) -> Reflow:
        """Return the coupling with its teacher, which computes where the batches are.

        Raises:
            PolicyError: the teacher's sampler draws fresh noise, so the pairs would not be pairs.
        """
        if policy.table.n_noises:
            raise PolicyError(
                f"reflow needs a deterministic teacher; '{self.teacher}' samples with fresh noise"
            )
        return replace(self, policy=policy)

    def __call__(self, sample: Chunks, noise: Chunks, obs: Observations) -> tuple[Chunks, Chunks]:
        if self.policy is None:
            raise PolicyError(f"reflow has not been handed its teacher '{self.teacher}'")
        with torch.autocast(noise.device.type, enabled=False):
            chunk = self.policy.transport(obs, noise.float())
        return chunk.to(sample.dtype), noise


def transport_cost(
    sample: Chunks, noise: Chunks, obs: Observations, weight: float | None, candidates: float
) -> Float[Tensor, "B B"]:
    """Return the cost of giving chunk i the noise j, in units of the mean distance.

    Args:
        sample: chunks.
        noise: noises; noise i was drawn for the observation of chunk i.
        obs: raw observations; pictures do not count.
        weight: factor of the squared distance between two chunks' observations; None chooses it.
        candidates: part of the foreign noises that are to be cheaper than a chunk's own.
    """
    cost = _relative(torch.cdist(sample.flatten(1), noise.flatten(1)) ** 2)
    vectors = [value.flatten(1).to(sample) for value in obs.values() if value.ndim < 5]
    if weight == 0 or not vectors:
        return cost

    seen = torch.cat(vectors, 1)
    seen = (seen - seen.mean(0)) / seen.std(0, correction=0).clamp(min=1e-6)
    apart = _relative(torch.cdist(seen, seen) ** 2)
    if weight is None:
        weight = _chosen_weight(cost, apart, candidates)
    return cost + weight * apart


def _chosen_weight(
    cost: Float[Tensor, "B B"], apart: Float[Tensor, "B B"], candidates: float
) -> float:
    """Return the weight at which the wanted part of the foreign noises stays cheaper.

    Noise j is cheaper for chunk i than its own while weight < (cost_ii - cost_ij) / apart_ij, so
    the weight is a quantile of those (Cheng & Schwing 2025, section 3.3, who search for it).
    """
    n = len(cost)
    foreign = ~torch.eye(n, dtype=torch.bool, device=cost.device)
    gain = (cost.diagonal()[:, None] - cost)[foreign]
    limits = gain / apart[foreign].clamp(min=1e-12)
    if n < 2:
        return 0.0

    kept = max(1, round(candidates * len(limits)))
    return max(0.0, float(limits.topk(kept).values[-1]))


def _check_weight(weight: float | None, candidates: float) -> None:
    """Raise PolicyError for settings of a coupling that are out of their range."""
    if (weight is not None and not weight >= 0) or not 0 < candidates <= 1:
        raise PolicyError(
            "a coupling needs condition_weight of at least 0, or null, and candidates in (0, 1]; "
            f"got {weight} and {candidates}"
        )


def _relative(distance: Float[Tensor, "B B"]) -> Float[Tensor, "B B"]:
    """Return distances in units of their mean."""
    return distance / distance.mean().clamp(min=1e-12)


def _scipy_optimize() -> Any:
    """Return `scipy.optimize`, or say how to install it."""
    try:
        from scipy import optimize
    except ImportError as error:
        raise PolicyError(_MISSING.format("scipy")) from error
    return optimize


def _pot() -> Any:
    """Return the module of POT, or say how to install it."""
    try:
        import ot
    except ImportError as error:
        raise PolicyError(_MISSING.format("POT")) from error
    return ot


_MISSING = "this coupling needs {}; install it with: pip install 'kinoise[theory]'"

"""Errors of sampled chunks on windows of demonstrations, beside trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .demonstrations import spread_of
from .regression import MOST_REFERENCE, neighbours, thinned

if TYPE_CHECKING:
    from kinoise.datasets.loader import WindowLoader

    from .case import Case

Array = NDArray[np.float64]

#: Windows that are looked at of each kind, and plans drawn for each.
N_WINDOWS = 384
N_PLANS = 4
BATCH = 128


@dataclass(frozen=True)
class Errors:
    """Squared errors in units of the action's spread, on W windows.

    Attributes:
        of: name -> `[W, steps, Da]`: "sample" (one sampled chunk), "policy" (the mean of some),
            "repeat" (the last action again), "mean" (the mean action) and "neighbours" (the mean
            of the nearest training windows of other episodes). The steps run from the first that
            is executed to the chunk's end.
        disagreement: `[W]`, mean square distance of plans from their mean, in the same units.
        episode: `[W]`.
    """

    of: Mapping[str, Array]
    disagreement: Array
    episode: NDArray[np.int64]

    def root(self, name: str, n_steps: int | None = None) -> float:
        """Return the root of the mean square over the first steps."""
        return float(np.sqrt(self.of[name][:, :n_steps].mean()))

    def each(self, name: str, n_steps: int | None = None) -> Array:
        """Return the mean square `[W]` of each window over the first steps."""
        return np.asarray(self.of[name][:, :n_steps].mean((1, 2)))


def training(case: Case) -> Errors:
    """Return the errors on windows that the policy was trained on."""
    return _errors(case, case.loaders.train)


def held_out(case: Case) -> Errors | None:
    """Return the errors on episodes set aside; None where there are none."""
    loader = case.loaders.validation
    return None if loader is None else _errors(case, loader)


def features(case: Case, obs: Mapping[str, Any]) -> Array:
    """Return observations key -> `[B, To, ...]` as rows `[B, To * Do]` for neighbours."""
    from .demonstrations import flattened

    columns = []
    scale = case.demonstrations.spread()
    for step in range(case.policy.n_obs_steps):
        now = {key: np.asarray(obs[key])[:, step] for key in case.keys}
        columns.append(flattened(now, case.keys) / scale)
    return np.concatenate(columns, axis=1)


def _errors(case: Case, loader: WindowLoader) -> Errors:
    policy = case.policy
    first = policy.n_obs_steps - 1
    chosen = thinned(len(loader.windows), N_WINDOWS)
    batch = loader.gather(chosen)
    wanted = batch["action"][:, first:].numpy().astype(np.float64)
    unit = spread_of(case.demonstrations.action)

    plans = _plans(case, batch["obs"])[:, :, first:]
    reference = thinned(len(case.loaders.train.windows), MOST_REFERENCE)
    known = case.loaders.train.gather(reference)
    rows, _ = neighbours(
        features(case, batch["obs"]),
        features(case, known["obs"]),
        query_group=loader.windows.first[chosen],
        reference_group=case.loaders.train.windows.first[reference],
    )
    nearest = known["action"][:, first:].numpy().astype(np.float64)[rows].mean(1)
    mean = case.demonstrations.action.mean(0)

    def squared(planned: Array) -> Array:
        return np.asarray(np.square((planned - wanted) / unit))

    centre = plans.mean(0)
    return Errors(
        of={
            "sample": squared(plans[0]),
            "policy": squared(centre),
            "repeat": squared(_last_actions(loader, chosen)[:, None]),
            "mean": squared(mean),
            "neighbours": squared(nearest),
        },
        disagreement=np.square((plans - centre) / unit).mean((0, 2, 3)),
        episode=loader.windows.first[chosen],
    )


def _plans(case: Case, obs: Mapping[str, Any]) -> Array:
    """Return plans `[N_PLANS, W, H, Da]` for observations key -> `[W, To, ...]`."""
    import torch

    generator = torch.Generator().manual_seed(0)
    count = len(next(iter(obs.values())))
    drawn = []
    for _ in range(N_PLANS):
        parts = [
            case.policy.sample({k: v[begin : begin + BATCH] for k, v in obs.items()}, generator)
            for begin in range(0, count, BATCH)
        ]
        drawn.append(torch.cat(parts).numpy(force=True).astype(np.float64))
    return np.stack(drawn)


def _last_actions(loader: WindowLoader, chosen: NDArray[np.int64]) -> Array:
    """Return the action `[W, Da]` before each window's first to execute."""
    now = loader.windows.start[chosen] + loader.windows.n_obs_steps - 1
    rows = np.maximum(now - 1, loader.windows.first[chosen])
    return np.asarray(loader.steps["action"].numpy()[rows], np.float64)

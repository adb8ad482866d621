"""The policy: encoder, network, path, objective and sampler put together.

It owns none of their mathematics and no state of an episode: observation history, chunk and clock
belong to the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from .errors import PolicyError
from .normalizer import Normalizer, Statistics
from .objectives import Denoising
from .paths import Path
from .samplers import Sampler
from .tables import Table, run_table
from .targets import Frame, frame

#: Edits the normalised x_0 estimate: (x_0 estimate `[B, H, Da]`, table row) -> the same shape.
Edit = Callable[[Tensor, int], Tensor]
Generators = torch.Generator | Sequence[torch.Generator] | None


class DiffusionPolicy(nn.Module):
    """Denoises chunks of actions conditioned on observations.

    Args:
        obs_shapes: observation key -> shape of one value; three axes mean an image `[h, w, 3]`.
        action_dim: Da.
        horizon: H, length of a predicted chunk.
        n_obs_steps: To, length of the observation history.
        n_action_steps: Ta, steps executed before replanning; To - 1 + Ta <= H.
        encoder: factory `encoder(shapes=...)` of an observation encoder.
        network: factory `network(action_dim=, horizon=, cond_dim=, n_obs_steps=)` of a backbone.
        path: the noising path.
        objective: the training loss.
        sampler: the default sampler, compiled at once; a `Table` is taken as it is.
        clip_sample: bound on the normalised x_0 estimate while sampling; None for no bound.
        normalization: key -> mode of `Normalizer.fit`, where it is not "minmax".

    Raises:
        PolicyError: steps that do not fit the horizon, or slots that do not fit each other.
    """

    def __init__(
        self,
        *,
        obs_shapes: Mapping[str, Sequence[int]],
        action_dim: int,
        horizon: int,
        n_obs_steps: int,
        n_action_steps: int,
        encoder: Callable[..., nn.Module],
        network: Callable[..., nn.Module],
        path: Path,
        objective: Denoising,
        sampler: Sampler | Table,
        clip_sample: float | None = 1.0,
        normalization: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if n_obs_steps - 1 + n_action_steps > horizon:
            raise PolicyError(
                f"horizon {horizon} is too short: n_obs_steps - 1 + n_action_steps = "
                f"{n_obs_steps - 1 + n_action_steps}"
            )
        shapes = {key: tuple(int(n) for n in shape) for key, shape in obs_shapes.items()}
        self.obs_shapes, self.action_dim, self.horizon = shapes, action_dim, horizon
        self.n_obs_steps, self.n_action_steps = n_obs_steps, n_action_steps
        self.path, self.objective, self.clip_sample = path, objective, clip_sample
        self.normalization = dict(normalization or {})
        vectors = {key: shape for key, shape in shapes.items() if len(shape) < 3}
        self.normalizer = Normalizer({**vectors, "action": (action_dim,)})
        self.encoder = encoder(shapes=shapes)
        self.network: Any = network(
            action_dim=action_dim,
            horizon=horizon,
            cond_dim=self.encoder.output_dim,
            n_obs_steps=n_obs_steps,
        )
        self.set_sampler(sampler)

    def set_sampler(self, sampler: Sampler | Table) -> None:
        """Choose how chunks are sampled from now on; the weights do not change.

        Raises:
            PolicyError: the target says nothing of x_0 at the first step (epsilon at alpha = 0).
        """
        self.table = sampler if isinstance(sampler, Table) else sampler.table(self.path)
        level = frame(self.objective.target, self.path, self.table.t)
        if bool((level.det.abs() < 1e-8).any()):
            raise PolicyError(
                f"target '{self.objective.target}' cannot give x_0 where alpha = 0; "
                "start later (policy.sampler.grid.start=0.999) or predict 'v_prediction'"
            )
        self._plan: _Plan | None = None

    def fit_normalizer(self, statistics: Mapping[str, Statistics]) -> None:
        """Set the normalisation from a data set's statistics (see `Normalizer.fit`)."""
        self.normalizer.fit(statistics, self.normalization)

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Return the condition `[B, To, Dc]` of raw observations `[B, To, ...]`."""
        missing = set(self.obs_shapes) - set(obs)
        if missing:
            raise PolicyError(
                f"the observation lacks {sorted(missing)}; it has {sorted(obs)}, "
                f"the policy was trained on {sorted(self.obs_shapes)}"
            )
        normed = {key: self.normalizer.normalize(key, obs[key]) for key in self.obs_shapes}
        condition: Tensor = self.encoder(normed)
        return condition

    def compute_loss(
        self, batch: Mapping[str, Any], generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the training loss, a scalar, of a batch {"obs", "action" `[B, H, Da]`, "mask"}."""
        condition = self.network.condition(self.encode(batch["obs"]))

        def predict(x: Tensor, t: Tensor) -> Tensor:
            prediction: Tensor = self.network.denoise(x, self.network.times(t), condition)
            return prediction

        sample = self.normalizer.normalize("action", batch["action"])
        return self.objective.loss(predict, self.path, sample, batch.get("mask"), generator)

    @torch.inference_mode()
    def sample(
        self, obs: Mapping[str, Tensor], generator: Generators = None, edit: Edit | None = None
    ) -> Tensor:
        """Return a chunk of actions `[B, H, Da]` in the data's units; index To - 1 comes first.

        Args:
            obs: key -> `[B, To, ...]`, raw.
            generator: the source of noise: one for the batch, or one a row, which makes each row's
                noise independent of its company.
            edit: applied to every normalised x_0 estimate, before the clamp.
        """
        plan = self._sampling_plan()
        batch = next(iter(obs.values())).shape[0]
        here = {key: obs[key].to(plan.device) for key in self.obs_shapes if key in obs}
        condition = self.network.condition(self.encode(here))
        denoise, clip = self.network.denoise, self.clip_sample

        def estimate(k: int, x: Tensor) -> Tensor:
            prediction = denoise(x, plan.times[k], condition)
            sample = torch.add(x * plan.from_state[k], prediction, alpha=plan.from_prediction[k])
            if edit is not None:
                sample = edit(sample, k)
            return sample if clip is None else sample.clamp_(-clip, clip)

        noises = self._noises(batch, generator, plan.device)
        chunk = run_table(self.table, estimate, noises)
        return self.normalizer.unnormalize("action", chunk)

    def predict_action(self, obs: Mapping[str, Tensor], generator: Generators = None) -> Tensor:
        """Return the actions to execute now, `[B, Ta, Da]`."""
        first = self.n_obs_steps - 1
        return self.sample(obs, generator)[:, first : first + self.n_action_steps]

    def _noises(self, batch: int, generator: Generators, device: torch.device) -> Tensor:
        shape = (1 + self.table.n_noises, self.horizon, self.action_dim)
        if isinstance(generator, Sequence):
            rows = [torch.randn(shape, generator=one) for one in generator]
        else:
            rows = [torch.randn(shape, generator=generator) for _ in range(batch)]
        return torch.stack(rows, 1).to(device)

    def _sampling_plan(self) -> _Plan:
        if self._plan is None or self.training:
            self._plan = _Plan(self)
        return self._plan

    def train(self, mode: bool = True) -> Self:
        # Training changes the weights, and with them the cached time features.
        self._plan = None
        return super().train(mode)


class _Plan:
    """What a table needs of the network at every row, computed once a table, not once a chunk."""

    def __init__(self, policy: DiffusionPolicy) -> None:
        self.device = next(policy.parameters()).device
        t = policy.table.t
        level: Frame = frame(policy.objective.target, policy.path, t)
        self.from_state: list[float] = (level.b / level.det).tolist()
        self.from_prediction: list[float] = (-level.sigma / level.det).tolist()
        self.times = [policy.network.times(row[None]) for row in t.float().to(self.device)]

"""The policy: encoder, network, path, objective, sampler and guidance put together.

It owns none of their mathematics and no state of an episode: observation history, chunk and clock
belong to the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from .errors import PolicyError
from .guidance.estimate import Estimate, Guidance, is_asked_for
from .normalizer import Normalizer, Statistics
from .paths import Path
from .paths.previous import handed_over, training_base
from .plan import Plan
from .sampling.sampler import Sampler
from .sampling.table import Table, run_table
from .targets import frame
from .training.couplings import Coupling
from .training.objectives import Objective

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
        coupling: which noise belongs to which data in training; None leaves them independent.
        guidance: edits of the x_0 estimate, applied in order whenever the policy samples.
        obs_dropout: fraction of training chunks that see no observation, for classifier-free
            guidance (Ho & Salimans 2022).
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
        objective: Objective,
        sampler: Sampler | Table,
        coupling: Coupling | None = None,
        guidance: Sequence[Guidance] = (),
        obs_dropout: float = 0.0,
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
        self.path, self.objective, self.coupling = path, objective, coupling
        # A weight that is learned has parameters, which the optimizer must find.
        weight = getattr(objective, "weight", None)
        self.learned_weight = weight if isinstance(weight, nn.Module) else None
        self.obs_dropout, self.clip_sample = obs_dropout, clip_sample
        self.normalization = dict(normalization or {})
        vectors = {key: shape for key, shape in shapes.items() if len(shape) < 3}
        self.normalizer = Normalizer({**vectors, "action": (action_dim,)})
        self.encoder = encoder(shapes=shapes)
        cond_dim: Any = self.encoder.output_dim
        self.network: Any = network(
            action_dim=action_dim, horizon=horizon, cond_dim=cond_dim, n_obs_steps=n_obs_steps
        )
        if obs_dropout > 0:
            self.no_obs = nn.Parameter(torch.zeros(n_obs_steps, cond_dim))
        self.set_sampler(sampler)
        self.set_guidance(guidance)

    @torch.no_grad()
    def set_sampler(self, sampler: Sampler | Table) -> None:
        """Choose how chunks are sampled from now on; the weights do not change.

        Raises:
            PolicyError: the target says nothing of x_0 at the first step (epsilon at alpha = 0).
        """
        self.sampler = sampler
        if isinstance(sampler, Sampler):
            sampler = sampler.table(self.path, self.horizon)
        self.table = sampler.collapsed()
        level = frame(self.objective.target, self.path, self.table.t)
        if bool((level.det.abs() < 1e-8).any()):
            raise PolicyError(
                f"target '{self.objective.target}' cannot give x_0 where alpha = 0; "
                "start later (policy.sampler.grid.start=0.999) or predict 'v_prediction'"
            )
        self._plan: Plan | None = None

    def set_guidance(self, guidance: Sequence[Guidance]) -> None:
        """Choose the edits of the x_0 estimate from now on, in the order of application.

        Raises:
            PolicyError: an edit compares with the policy without observations, and there is none.
        """
        self._compares(tuple(guidance))
        self.guidance = tuple(guidance)

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
        obs = batch["obs"]
        condition = self.network.condition(self._with_dropout(self.encode(obs), generator))

        def predict(x: Tensor, t: Tensor) -> Tensor:
            scale = self.path.input_scale(t)
            if scale is not None:
                x = x * scale.reshape(len(x), -1, 1)
            prediction: Tensor = self.network.denoise(x, self.network.times(t), condition)
            return prediction

        sample = self.normalizer.normalize("action", batch["action"])
        return self.objective.loss(
            predict,
            self.path,
            sample,
            batch.get("mask"),
            generator,
            base=training_base(sample, self.n_action_steps) if self.path.has_base else None,
            pair=None if self.coupling is None else partial(self.coupling, obs=obs),
        )

    def sample(
        self,
        obs: Mapping[str, Tensor],
        generator: Generators = None,
        *,
        guidance: Sequence[Guidance] = (),
        previous: Tensor | None = None,
    ) -> Tensor:
        """Return a chunk of actions `[B, H, Da]` in the data's units; index To - 1 comes first.

        Args:
            obs: key -> `[B, To, ...]`, raw.
            generator: the source of noise: one for the batch, or one a row, which makes each row's
                noise independent of its company.
            guidance: edits of every normalised x_0 estimate, after the policy's own.
            previous: the chunk `[B, H, Da]` that was planned Ta steps ago, for a path that starts
                from it; rows of NaN, or None, where there is none.
        """
        batch = next(iter(obs.values())).shape[0]
        noises = self._noises(batch, generator, self._sampling_plan().device)
        chunk = self._denoise(obs, noises, (*self.guidance, *guidance), previous)
        return self.normalizer.unnormalize("action", chunk)

    def transport(self, obs: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Return the normalised chunk that the sampler makes of `noise` `[B, H, Da]`.

        The sampler must need no further noise; guidance plays no part.
        """
        return self._denoise(obs, noise[None], (), None)

    def predict_action(self, obs: Mapping[str, Tensor], generator: Generators = None) -> Tensor:
        """Return the actions to execute now, `[B, Ta, Da]`."""
        first = self.n_obs_steps - 1
        return self.sample(obs, generator)[:, first : first + self.n_action_steps]

    def estimator(self, obs: Mapping[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the x_0 estimate as a function of (x `[B, H, Da]`, t `[]`, `[B]` or `[B, H]`).

        Normalised and without edits or clamp; x is the state less the path's known base. The
        observation is encoded once. Differentiable where gradients are on.
        """
        condition = self.network.condition(self.encode(obs))

        def estimate(x: Tensor, t: Tensor) -> Tensor:
            times = t.reshape(-1) if t.ndim < 2 else t
            level = frame(self.objective.target, self.path, times.reshape(len(times), -1, 1))
            scale = self.path.input_scale(times.reshape(len(times), -1, 1))
            seen = x if scale is None else x * scale.to(x)
            prediction = self.network.denoise(seen, self.network.times(times), condition)
            from_state, from_prediction = level.b / level.det, -level.sigma / level.det
            estimated: Tensor = x * from_state.to(x) + prediction * from_prediction.to(x)
            return estimated

        return estimate

    def _denoise(
        self,
        obs: Mapping[str, Tensor],
        noises: Tensor,
        edits: tuple[Guidance, ...],
        previous: Tensor | None,
    ) -> Tensor:
        """Run the table on noises `[1 + M, B, H, Da]` and return the normalised chunk."""
        plan = self._sampling_plan()
        here = {key: obs[key].to(plan.device) for key in self.obs_shapes if key in obs}
        base = self._base(previous, noises)
        if edits and self.table.per_token:
            raise PolicyError("guidance needs one time a chunk; leave policy.sampler.delay=0")
        if edits:
            return self._guided(plan, here, {**obs, **here}, noises, edits, base)
        with torch.inference_mode():
            estimate = self._estimate_at(plan, self.encode(here), base)
            clip = self.clip_sample
            if clip is None:
                return run_table(self.table, estimate, noises)
            return run_table(self.table, lambda k, x: estimate(k, x).clamp_(-clip, clip), noises)

    @torch.inference_mode(False)
    def _guided(
        self,
        plan: Plan,
        here: Mapping[str, Tensor],
        obs: Mapping[str, Tensor],
        noises: Tensor,
        edits: tuple[Guidance, ...],
        base: Tensor | None,
    ) -> Tensor:
        """As `_denoise`, with edits of every estimate, and gradients where they need them."""
        gradient = is_asked_for(edits, "needs_gradient")
        with torch.no_grad():
            condition = self.encode(here)
            seeing = self._estimate_at(plan, condition, base)
            blind: Callable[[int, Tensor], Tensor] = _undeclared
            if self._compares(edits):
                blind = self._estimate_at(plan, self.no_obs.expand_as(condition), base)

        def estimate(k: int, state: Tensor) -> Tensor:
            x = state.clone().requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                now = Estimate(
                    sample=seeing(k, x),
                    x=x,
                    t=float(self.table.t[k]),
                    alpha=plan.alphas[k],
                    sigma=plan.sigmas[k],
                    row=k,
                    n_rows=self.table.n_evaluations,
                    obs=obs,
                    to_actions=partial(self.normalizer.unnormalize, "action"),
                    to_normalized=partial(self.normalizer.normalize, "action"),
                    without_obs=partial(blind, k, x),
                )
                for edit in edits:
                    now.sample = edit(now)
            sample = now.sample.detach()
            clip = self.clip_sample
            return sample if clip is None else sample.clamp(-clip, clip)

        with torch.no_grad():
            return run_table(self.table, estimate, noises)

    def _compares(self, edits: tuple[Guidance, ...]) -> bool:
        """Return whether an edit asks for the policy without observations; there must be one."""
        compares = is_asked_for(edits, "needs_unconditional")
        if compares and self.obs_dropout == 0:
            raise PolicyError(
                "classifier-free guidance needs a policy trained with policy.obs_dropout > 0"
            )
        return compares

    def _estimate_at(
        self, plan: Plan, encoded: Tensor, base: Tensor | None
    ) -> Callable[[int, Tensor], Tensor]:
        """Return the x_0 estimate as a function of (row k of the table, state less its base)."""
        condition = self.network.condition(encoded)
        denoise, scales = self.network.denoise, plan.input_scales

        def estimate(k: int, x: Tensor) -> Tensor:
            seen = x if base is None else x + plan.betas[k] * base
            if scales is not None:
                seen = seen * scales[k]
            return plan.combine(k, x, denoise(seen, plan.times[k], condition))

        return estimate

    def _with_dropout(self, condition: Tensor, generator: torch.Generator | None) -> Tensor:
        """Hide the observation of a fraction of the chunks, in training."""
        if self.obs_dropout == 0:
            return condition
        hidden = torch.rand(len(condition), generator=generator) < self.obs_dropout
        return torch.where(hidden[:, None, None].to(condition.device), self.no_obs, condition)

    def _base(self, previous: Tensor | None, noises: Tensor) -> Tensor | None:
        """Return the normalised base `[B, H, Da]` that the path starts from, if it has one."""
        if not self.path.has_base:
            return None
        if previous is None:
            return torch.zeros_like(noises[0])
        chunk = self.normalizer.normalize("action", previous.to(noises.device))
        return handed_over(chunk, self.n_action_steps)

    def _noises(self, batch: int, generator: Generators, device: torch.device) -> Tensor:
        shape = (1 + self.table.n_noises, self.horizon, self.action_dim)
        if isinstance(generator, Sequence):
            rows = [torch.randn(shape, generator=one) for one in generator]
        else:
            rows = [torch.randn(shape, generator=generator) for _ in range(batch)]
        return torch.stack(rows, 1).to(device)

    def _sampling_plan(self) -> Plan:
        if self._plan is None or self.training:
            self._plan = Plan(self)
        return self._plan

    def train(self, mode: bool = True) -> Self:
        # Training changes the weights, and with them the cached time features.
        self._plan = None
        if isinstance(self.path, nn.Module) and isinstance(self.sampler, Sampler):
            self.set_sampler(self.sampler)  # the path was learned on, and its table with it
        return super().train(mode)


def _undeclared(k: int, x: Tensor) -> Tensor:
    raise PolicyError("an edit that calls without_obs must declare needs_unconditional = True")

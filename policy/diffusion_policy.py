"""The policy: encoder, network, path, objective, sampler and guidance put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .border import Border
from .control import Execution, RecedingHorizon
from .denoiser import Denoiser, Rows
from .encoders.encoder import Encoder, Observations
from .errors import PolicyError
from .guidance.estimate import Edit, declares
from .guidance.guided import guided
from .networks import Backbone
from .normalizer import Mode, Normalizer, Statistics, as_weights
from .paths import Path
from .paths.previous import carried_on, training_base
from .sampling import Sampler, Table
from .sampling.noise import Generators, draw_noises
from .sampling.table import RowEstimate, TimeEstimate
from .sampling.warm import run_from
from .shapes import Chunks, Noises
from .training.couplings import Coupling
from .training.objectives import Objective, TrainingBatch
from .transforms import Chain, Transform


class DiffusionPolicy(nn.Module):
    """Denoises chunks of actions given observations; an episode's memory is the controller's.

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
        clip_sample: bound on the x_0 estimate while sampling, in units of the training data's own
            range (1: no action leaves it, whatever the normalisation); None for no bound. See
            `Border.clamp`.
        normalization: key -> mode of `Normalizer.fit`, where it is not "minmax"; the keys and
            columns are those that the transforms leave.
        transforms: what rewrites observations and actions before they are normalised, in order;
            as a list, or by name.
        execution: how a controller executes the chunks; None for `RecedingHorizon`.

    Raises:
        PolicyError: steps that do not fit the horizon, or slots that do not fit each other.
    """

    _cached: Rows | None

    def __init__(
        self,
        *,
        obs_shapes: Mapping[str, Sequence[int]],
        action_dim: int,
        horizon: int,
        n_obs_steps: int,
        n_action_steps: int,
        encoder: Callable[..., Encoder],
        network: Callable[..., Backbone],
        path: Path,
        objective: Objective,
        sampler: Sampler | Table,
        coupling: Coupling | None = None,
        guidance: Sequence[Edit] = (),
        obs_dropout: float = 0.0,
        clip_sample: float | None = 1.0,
        normalization: Mapping[str, Mode | None] | None = None,
        transforms: Sequence[Transform] | Mapping[str, Transform] = (),
        execution: Execution | None = None,
    ) -> None:
        super().__init__()
        self.obs_shapes = {key: tuple(int(n) for n in shape) for key, shape in obs_shapes.items()}
        self.action_dim = action_dim
        self.horizon = horizon
        self.n_obs_steps = n_obs_steps
        self.n_action_steps = n_action_steps
        self.path = path
        self.objective = objective
        self.coupling = coupling
        self.obs_dropout = obs_dropout
        self.clip_sample = clip_sample
        self.normalization = dict(normalization or {})
        self.execution = execution or RecedingHorizon()
        self._check_settings()

        # A weight that is learned has parameters, which the optimizer must find.
        weight = getattr(objective, "weight", None)
        self.learned_weight = weight if isinstance(weight, nn.Module) else None

        self.transforms = Chain(transforms, {**self.obs_shapes, "action": (action_dim,)})
        self.normalizer = Normalizer(self.transforms.normalized_shapes(horizon))
        self.border = Border(
            self.obs_shapes,
            n_obs_steps,
            transforms=self.transforms,
            normalizer=self.normalizer,
            clip=clip_sample,
        )

        self.encoder = encoder(shapes=self.transforms.obs_shapes)
        cond_dim = self.encoder.output_dim
        self.network = network(
            action_dim=self.border.action_dim,
            horizon=horizon,
            cond_dim=cond_dim,
            n_obs_steps=n_obs_steps,
        )
        if obs_dropout > 0:
            self.no_obs = nn.Parameter(torch.zeros(n_obs_steps, cond_dim))

        self.denoiser = Denoiser(self.network, path, objective.target)
        self.set_sampler(sampler)
        self.set_guidance(guidance)
        # Cached time features follow the weights.
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda *_: self._forget_rows()
        )

    def _check_settings(self) -> None:
        """Raise PolicyError for numbers that make no policy."""
        for name in ("action_dim", "horizon", "n_obs_steps", "n_action_steps"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise PolicyError(f"{name} is a whole number of at least 1; got {count!r}")
        if not self.obs_shapes:
            raise PolicyError("a policy needs at least one observation; give obs_keys")
        if not 0 <= self.obs_dropout <= 1:
            raise PolicyError(f"obs_dropout lies in [0, 1]; got {self.obs_dropout}")
        if self.clip_sample is not None and not self.clip_sample > 0:
            raise PolicyError(f"clip_sample is above 0, or null; got {self.clip_sample}")

        reach = self.n_obs_steps - 1 + self.n_action_steps
        if reach > self.horizon:
            raise PolicyError(
                f"horizon {self.horizon} is too short: n_obs_steps - 1 + n_action_steps = {reach}"
            )
        if self.path.has_base and self.n_action_steps >= self.horizon:
            raise PolicyError(
                "a path that starts from the previous chunk needs some of it to be left: "
                f"n_action_steps must be below horizon = {self.horizon}"
            )

    @torch.no_grad()
    def set_sampler(self, sampler: Sampler | Table) -> None:
        """Choose how chunks are sampled from now on; the weights do not change.

        Raises:
            PolicyError: the target says nothing of x_0 at the first step (epsilon at alpha = 0),
                or the solver jumps to the data and the network was not trained for that.
        """
        table = sampler
        if isinstance(sampler, Sampler):
            if sampler.jumps and not self.objective.jumps:
                raise PolicyError(
                    f"solver '{sampler.solver}' is for networks that jump to the data (consistency "
                    "models), and this one predicts means; try sampler=ddim"
                )
            table = sampler.table(self.path, self.horizon)
        assert isinstance(table, Table)
        if table.per_token and table.t.shape[1] != self.horizon:
            raise PolicyError(
                f"the sampler's table is for chunks of {table.t.shape[1]} steps; "
                f"the policy's have {self.horizon}"
            )

        table = table.collapsed()
        self.denoiser.check(table)
        self.sampler = sampler
        self.table = table
        self._forget_rows()

    def set_guidance(self, guidance: Sequence[Edit]) -> None:
        """Choose the edits of the x_0 estimate from now on, in the order of application.

        Raises:
            PolicyError: an edit compares with the policy without observations, and there is none.
        """
        self._compares(tuple(guidance))
        self.guidance = tuple(guidance)

    def fit_normalizer(self, statistics: Mapping[str, Statistics]) -> None:
        """Set the normalisation from a data set's statistics (see `Normalizer.fit`)."""
        self.normalizer.fit(statistics, self.normalization)
        self._forget_rows()

    def encode(
        self,
        obs: Observations,
        generator: torch.Generator | None = None,
        *,
        disturb: bool = False,
    ) -> Float[Tensor, "B To Dc"]:
        """Return the condition that raw observations give (see `Border.features`).

        Raises:
            PolicyError: an observation is missing, or has another shape than in training.
        """
        features = self.border.features(obs, generator, disturb=disturb)
        condition: Tensor = self.encoder(as_weights(features, self.denoiser.dtype))
        return condition

    def compute_loss(
        self, batch: Mapping[str, Any], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Return the training loss of a batch {"obs", "action" `[B, H, Da]`, "mask"}.

        Raises:
            PolicyError: the batch is empty.
        """
        if len(batch["action"]) == 0:
            raise PolicyError("the batch is empty; there is nothing to train on")
        obs = batch["obs"]
        action = batch["action"]
        if self.training:
            obs, action = self.border.augmented(batch, generator)
        encoded = self.encode(obs, generator, disturb=self.training)
        condition = self.denoiser.condition(self._with_dropout(encoded, generator))
        training = TrainingBatch(
            sample=self.border.to_network(action, obs),
            condition=condition,
            mask=batch.get("mask"),
            base=self._training_base(action, obs) if self.path.has_base else None,
            pair=None if self.coupling is None else partial(self.coupling, obs=obs),
        )
        return self.objective.loss(self.denoiser, training, generator)

    def sample(
        self,
        obs: Observations,
        generator: Generators = None,
        *,
        guidance: Sequence[Edit] = (),
        previous: Chunks | None = None,
        start: float = 1.0,
    ) -> Chunks:
        """Return chunks of actions in the data's units; index To - 1 is executed first.

        Args:
            obs: raw observations.
            generator: the source of noise: one for the batch, or one a row, which makes each row's
                noise independent of its company.
            guidance: edits of every normalised x_0 estimate, after the policy's own.
            previous: the chunks that were planned Ta steps ago, for a path or a warm start that
                begins with them; rows of NaN, or None, where there are none.
            start: the time at which a warm start begins; 1 begins with noise alone.
        """
        batch = next(iter(obs.values())).shape[0]
        if batch == 0:
            return self.border.spread.new_zeros(0, self.horizon, self.action_dim)
        noises = self._noises(batch, generator)
        chunk = self._denoise(obs, noises, (*self.guidance, *guidance), previous, start)
        return self.border.to_actions(chunk, obs)

    def transport(self, obs: Observations, noise: Chunks) -> Chunks:
        """Return the chunks that the sampler makes of `noise`, both as the network has them.

        The sampler must need no further noise; guidance plays no part.
        """
        return self._denoise(obs, noise[None], (), None)

    def predict_action(
        self, obs: Observations, generator: Generators = None
    ) -> Float[Tensor, "B Ta Da"]:
        """Return the actions to execute now."""
        first = self.n_obs_steps - 1
        return self.sample(obs, generator)[:, first : first + self.n_action_steps]

    def estimator(self, obs: Observations) -> TimeEstimate:
        """Return the x_0 estimate as a function of (x `[B, H, Da]`, t `[]`, `[B]` or `[B, H]`).

        Normalised and without edits or clamp; x is the state less the path's known base. The
        observation is encoded once. Differentiable where gradients are on.
        """
        condition = self.denoiser.condition(self.encode(obs))
        return partial(self.denoiser.estimate, condition=condition)

    def _denoise(
        self,
        obs: Observations,
        noises: Noises,
        edits: tuple[Edit, ...],
        previous: Chunks | None,
        start: float = 1.0,
    ) -> Chunks:
        """Run the table on noises and return the normalised chunks."""
        rows = self._rows()
        here = {key: obs[key].to(rows.device) for key in self.obs_shapes if key in obs}
        noises = noises.to(rows.device, rows.dtype, non_blocking=True)
        if edits and self.table.per_token:
            raise PolicyError("guidance needs one time a chunk; leave policy.sampler.delay=0")

        known = None
        if self.path.has_base or start < 1:
            known = self._carried_on(previous, here, noises)
        base = known.nan_to_num(0.0) if known is not None and self.path.has_base else None
        run = partial(run_from, self.table, noises=noises, known=known, start=start)
        if edits:
            return self._guided(here, {**obs, **here}, run, edits, base)

        with torch.inference_mode():
            estimate = rows.estimator(self.denoiser.condition(self.encode(here)), base)
            clamp = self.border.clamp(here)
            return run(estimate if clamp is None else lambda k, x: clamp(estimate(k, x)))

    @torch.inference_mode(False)
    def _guided(
        self,
        here: Observations,
        obs: Observations,
        run: Callable[[RowEstimate], Chunks],
        edits: tuple[Edit, ...],
        base: Chunks | None,
    ) -> Chunks:
        """As `_denoise`, with edits of every estimate, and gradients where they need them."""
        rows = self._rows()
        with torch.no_grad():
            encoded = self.encode(here)
            seeing = rows.estimator(self.denoiser.condition(encoded), base)
            blind = None
            if self._compares(edits):
                nothing = self.denoiser.condition(self.no_obs.expand_as(encoded))
                blind = rows.estimator(nothing, base)

            estimate = guided(rows, seeing, blind, edits, crossing=self.border.at(here), obs=obs)
            return run(estimate)

    def _compares(self, edits: tuple[Edit, ...]) -> bool:
        """Return whether an edit asks for the policy without observations; there must be one."""
        compares = declares(edits, "needs_unconditional")
        if compares and self.obs_dropout == 0:
            raise PolicyError(
                "classifier-free guidance needs a policy trained with policy.obs_dropout > 0"
            )
        return compares

    def _with_dropout(
        self, condition: Float[Tensor, "B To Dc"], generator: torch.Generator | None
    ) -> Float[Tensor, "B To Dc"]:
        """Hide the observation of a fraction of the chunks, in training."""
        if self.obs_dropout == 0:
            return condition
        hidden = torch.rand(len(condition), generator=generator) < self.obs_dropout
        return torch.where(hidden[:, None, None].to(condition.device), self.no_obs, condition)

    def _carried_on(self, previous: Chunks | None, obs: Observations, noises: Noises) -> Chunks:
        """Return the previous chunks now, as the network has them; NaN where there are none."""
        if previous is None:
            return torch.full_like(noises[0], torch.nan)
        write = self.border.at(obs).to_network
        return carried_on(previous.to(noises.device), self.n_action_steps, write).to(noises)

    def _training_base(self, action: Chunks, obs: Observations) -> Chunks:
        """Return the base that demonstrated chunks would have had, as the network has it."""
        return training_base(action, self.n_action_steps, self.border.at(obs).to_network)

    def _noises(self, batch: int, generator: Generators) -> Float[Tensor, "draws {batch} H _"]:
        """Draw the noises of a batch of chunks: the initial one, then M fresh ones."""
        shape = (self.horizon, self.border.action_dim)
        return draw_noises(1 + self.table.n_noises, shape, batch, generator)

    def _rows(self) -> Rows:
        """Return what depends on the table alone; in training the weights change under it."""
        if self._cached is None or self.training:
            self._cached = self.denoiser.rows(self.table)
        return self._cached

    def _forget_rows(self) -> None:
        """Let the next chunk compute anew what depends on the table or the statistics alone."""
        self._cached = None
        self.border.forget()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DiffusionPolicy:
        # Moved or cast weights have other time features.
        self._forget_rows()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def train(self, mode: bool = True) -> DiffusionPolicy:
        # Training changes the weights, and with them the cached time features.
        self._forget_rows()
        if isinstance(self.path, nn.Module) and isinstance(self.sampler, Sampler):
            self.set_sampler(self.sampler)  # the path was learned on, and its table with it
        return super().train(mode)

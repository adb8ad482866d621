"""The training loop: every step is a pure function of (seed, step, state), so resuming is exact."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..checkpoints import find_checkpoint, read_config, read_meta, save_checkpoint
from ..checkpoints.folder import link, record_metrics
from ..checkpoints.reading import read_tensors
from ..diffusion_policy import DiffusionPolicy
from ..errors import PolicyError, unknown_name
from .feeding import Batch, Feed
from .interrupt import StopRequest, stop_at_interrupt
from .lock import run_lock
from .log import TrainingLog
from .loggers import LoggerFactory
from .optimization import autocast, parameter_groups
from .resuming import differences, pack, unpack
from .validation import Validation, validate

#: What may choose the best checkpoint, and whether more of it is better.
MERITS = {"success": 1, "score": 1, "action_error": -1, "validation_loss": -1}
#: Scores a checkpoint folder, e.g. by rollouts; "success" and "score" may choose the best one.
Evaluate = Callable[[Path], Mapping[str, float]]
#: Told of every step: (step, loss or None between logged steps).
OnStep = Callable[[int, float | None], None]
#: Steps in a row without a finite gradient after which a training is lost.
HOPELESS = 50


class Trainer:
    """Trains a policy with AdamW, warm-up and cosine decay, and an average of the weights.

    Args:
        policy: the policy to train, its normaliser fitted.
        config: resolved configuration stored with every checkpoint; its "policy" node rebuilds it.
        folder: the run's folder: checkpoints, metrics.jsonl, files of the logger.
        n_steps: optimizer steps in all.
        learning_rate: of AdamW, after the warm-up.
        betas: decay of AdamW's averages of the gradient and of its square.
        weight_decay: of AdamW.
        warmup_steps: linear warm-up; then a cosine to zero at n_steps.
        clip_norm: bound on the gradient's norm.
        accumulation: micro-batches an optimizer step.
        ema_decay: decay of the weights' average, warmed up (diffusers' EMAModel).
        precision: "float32", "bfloat16" (autocast of the forward pass), or "auto": bfloat16 where
            the processor multiplies it natively.
        seed: everything random in training follows from it and the step.
        log_every: steps between records.
        checkpoint_minutes: wall time between checkpoints.
        evaluate_every: steps between scored checkpoints; 0 scores only the last.
        best_by: the metric that chooses the best checkpoint, a key of `MERITS`; where rollouts do
            not give it, the error of sampled actions on held-out episodes does.
        logger: factory of what shows the curves besides metrics.jsonl (see `loggers`).
        rate_factors: factor of a parameter's learning rate by its name, where it is not 1 (see
            `networks.scaling`).

    Raises:
        PolicyError: a setting out of its range.
    """

    def __init__(
        self,
        policy: DiffusionPolicy,
        config: Mapping[str, Any],
        folder: str | Path,
        *,
        n_steps: int,
        learning_rate: float = 5e-4,
        betas: Sequence[float] = (0.95, 0.999),
        weight_decay: float = 1e-6,
        warmup_steps: int = 500,
        clip_norm: float = 1.0,
        accumulation: int = 1,
        ema_decay: float = 0.999,
        precision: str = "auto",
        seed: int = 0,
        log_every: int = 50,
        checkpoint_minutes: float = 5.0,
        evaluate_every: int = 0,
        best_by: str = "success",
        logger: LoggerFactory | None = None,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        from diffusers.training_utils import EMAModel

        _check_at_least(1, n_steps=n_steps, accumulation=accumulation, log_every=log_every)
        _check_at_least(0, warmup_steps=warmup_steps, evaluate_every=evaluate_every, seed=seed)
        _check_at_least(0, weight_decay=weight_decay, checkpoint_minutes=checkpoint_minutes)
        if not (learning_rate > 0 and clip_norm > 0 and 0 <= ema_decay < 1):
            raise PolicyError(
                "learning_rate and clip_norm are above 0, ema_decay lies in [0, 1); got "
                f"{learning_rate}, {clip_norm} and {ema_decay}"
            )
        if best_by not in MERITS:
            raise unknown_name("metric to choose the best checkpoint", best_by, MERITS)

        self.policy = policy
        self.config = config
        self.folder = Path(folder)
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.clip_norm = clip_norm
        self.accumulation = accumulation
        self.seed = seed
        self.log_every = log_every
        self.checkpoint_minutes = checkpoint_minutes
        self.evaluate_every = evaluate_every
        self.best_by = best_by
        self.logger = logger
        self.device = policy.denoiser.device
        self.autocast = autocast(precision, self.device)
        self.parameters = dict(policy.named_parameters())
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.parameters, rate_factors or {}),
            lr=learning_rate,
            betas=(betas[0], betas[1]),
            weight_decay=weight_decay,
            fused=True,
        )
        self.ema = EMAModel(
            self.parameters.values(),
            decay=ema_decay,
            use_ema_warmup=True,
            inv_gamma=1.0,
            power=0.75,
            foreach=True,
        )
        self.step = 0
        self.best = -math.inf
        self.skipped = 0
        self.interrupted = False

    def fit(
        self,
        batches: Callable[[int], Batch],
        *,
        evaluate: Evaluate | None = None,
        validation: Validation | None = None,
        on_step: OnStep = lambda step, loss: None,
    ) -> Path:
        """Train to `n_steps` and return the last checkpoint's folder.

        Ctrl-C, SIGTERM, a closed terminal and a reader of the output that left end the loop with a
        checkpoint to resume from; `self.interrupted` tells.

        Args:
            batches: maps a micro-batch number to {"obs", "action", "mask"}, a pure function.
            evaluate: scores checkpoints; the best is kept as `checkpoints/best`.
            validation: held-out batches, looked at with every scored checkpoint.
            on_step: progress callback.

        Raises:
            PolicyError: another training writes to the run, or the gradients are no numbers.
        """
        self.policy.train()
        feed = Feed(batches, self.device)
        with (
            run_lock(self.folder),
            TrainingLog(self.folder, self.step, self.logger) as log,
            stop_at_interrupt() as stop,
        ):
            try:
                self._run(
                    feed, on_step, log=log, stop=stop, evaluate=evaluate, validation=validation
                )
            except BrokenPipeError:
                self._checkpoint(log, stop)
                raise
            finally:
                feed.close()

            if stop.requested:
                last = self._checkpoint(log, stop)
            else:
                last = self._checkpoint(log, stop, evaluate=evaluate, validation=validation)
            self.interrupted = stop.requested
            return last

    def _run(
        self,
        feed: Feed,
        on_step: OnStep,
        log: TrainingLog,
        stop: StopRequest,
        evaluate: Evaluate | None,
        validation: Validation | None,
    ) -> None:
        """Step until the end or a request to stop; write checkpoints as they are due."""
        saved = time.monotonic()
        while self.step < self.n_steps and not stop.requested:
            loss, norm = self._train_step(feed)
            logged = self.step % self.log_every == 0 or self.step == self.n_steps
            if logged:
                self._log(log, loss, norm)
            on_step(self.step, loss.item() if logged else None)

            scored = self.evaluate_every and self.step % self.evaluate_every == 0
            if scored and self.step < self.n_steps:
                self._checkpoint(log, stop, evaluate=evaluate, validation=validation)
                saved = time.monotonic()
            elif time.monotonic() - saved > 60 * self.checkpoint_minutes:
                self._checkpoint(log, stop)
                saved = time.monotonic()

    def resume(self, path: str | Path, *, allow_changes: bool = False) -> None:
        """Continue exactly where the checkpoint at `path` stopped.

        Args:
            path: a checkpoint, or a run's folder.
            allow_changes: go on although settings differ from those of the checkpoint.

        Raises:
            PolicyError: the checkpoint holds no training state, not that of this policy, or was
                made with other settings.
        """
        folder = find_checkpoint(path)
        if not (folder / "training.safetensors").is_file():
            raise PolicyError(f"'{folder}' holds no training state; it can be run, not resumed")
        changed = differences(read_config(folder), self.config)
        if changed and not allow_changes:
            raise PolicyError(
                f"'{folder}' was trained with other settings: {'; '.join(changed[:8])}; give those "
                "again, or go on with allow_changes=true"
            )

        meta = read_meta(folder)
        metrics = meta["metrics"]
        state = read_tensors(folder / "training.safetensors")
        averaged = read_tensors(folder / "policy.safetensors")

        unpack(state, self.parameters, self.optimizer, folder)
        raw = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.policy.load_state_dict(averaged)
        for (name, parameter), shadow in zip(
            self.parameters.items(), self.ema.shadow_params, strict=True
        ):
            shadow.copy_(parameter.detach())  # policy.safetensors holds the average
            parameter.data.copy_(raw[name])

        self.step = int(meta["step"])
        self.ema.optimization_step = self.step
        if metrics.get("best_by", self.best_by) == self.best_by:
            self.best = float(metrics.get("best", -math.inf))

    def _rate(self) -> float:
        """Return the learning rate of the coming step: linear warm-up, then a cosine to zero."""
        if self.step < self.warmup_steps:
            return self.learning_rate * (self.step + 1) / self.warmup_steps
        done = (self.step - self.warmup_steps) / max(1, self.n_steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _train_step(
        self, feed: Callable[[int], Batch]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Take one optimizer step; return the loss and the norm of the gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate() * group["factor"]

        total = torch.zeros((), device=self.device)
        for micro in range(self.accumulation):
            number = self.step * self.accumulation + micro
            # Reseeding at every micro-batch leaves no random state to save.
            torch.manual_seed(self.seed * 1_000_003 + number)
            with self.autocast:
                loss = self.policy.compute_loss(feed(number))
            (loss / self.accumulation).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / self.accumulation

        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.clip_norm)
        self._apply_gradient(norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total, norm

    def _apply_gradient(self, norm: Float[Tensor, ""]) -> None:
        """Step the optimizer and the average, unless the gradient is no number: then neither."""
        if bool(norm.isfinite()):
            self.optimizer.step()
            self.ema.step(self.parameters.values())
            self.skipped = 0
            return

        self.ema.optimization_step += 1
        self.skipped += 1
        if self.skipped >= HOPELESS:
            raise PolicyError(
                f"the gradient is not finite for {HOPELESS} steps, up to step {self.step}; earlier "
                "checkpoints are kept: look at the data with `kinoise inspect`, or lower "
                "trainer.learning_rate"
            )

    def _log(self, log: TrainingLog, loss: Float[Tensor, ""], norm: Float[Tensor, ""]) -> None:
        """Record a step."""
        group = self.optimizer.param_groups[0]
        rate = group["lr"] / group["factor"]
        log.write(self.step, loss=loss.item(), grad_norm=norm.item(), lr=rate)

    def _checkpoint(
        self,
        log: TrainingLog,
        stop: StopRequest,
        evaluate: Evaluate | None = None,
        validation: Validation | None = None,
    ) -> Path:
        """Write a checkpoint, score it where there is something to score it by, and tidy up."""
        metrics: dict[str, float] = {}
        with self._averaged():
            folder = self._save()
            # Linked before it is scored: a kill during that loses nothing.
            link(folder, "last")
            with stop.abandon():
                if validation is not None:
                    metrics |= validate(self.policy, validation(), self.seed)
                if evaluate is not None:
                    metrics |= evaluate(folder)

        if metrics:
            names = {"success": "eval/success", "score": "eval/score"}
            log.write(self.step, **{names.get(key, key): value for key, value in metrics.items()})
            self._keep_best(folder, metrics)
        self._prune()
        return folder

    def _keep_best(self, folder: Path, metrics: Mapping[str, float]) -> None:
        """Link a scored checkpoint as the best one if none before was better."""
        by = self.best_by if self.best_by in metrics else "action_error"
        if by not in metrics or not math.isfinite(metrics[by]):
            record_metrics(folder, metrics)
            return

        merit = MERITS[by] * metrics[by]
        better = merit >= self.best
        self.best = max(merit, self.best)
        record_metrics(folder, {**metrics, "best": self.best, "best_by": self.best_by})
        if better:
            link(folder, "best")

    def _save(self) -> Path:
        """Write the averaged weights, which the policy holds now, and the raw ones beside them."""
        raw = dict(zip(self.parameters, self._raw, strict=True))
        weights = self.policy.state_dict()
        spoilt = [key for key, value in weights.items() if not bool(value.isfinite().all())]
        if spoilt:
            raise PolicyError(
                f"the weights are no numbers at step {self.step} ('{spoilt[0]}'); earlier "
                "checkpoints are kept: lower trainer.learning_rate"
            )
        best = {"best": self.best, "best_by": self.best_by} if math.isfinite(self.best) else {}
        return save_checkpoint(
            self.folder / "checkpoints" / f"step_{self.step:07d}",
            config=self.config,
            weights=weights,
            table=self.policy.table,
            step=self.step,
            metrics=best,
            training=pack(self.parameters, self.optimizer, raw),
        )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Hold the averaged weights in the policy, ready to run, then put the raw ones back."""
        self._raw = [value.detach().clone() for value in self.parameters.values()]
        self.ema.copy_to(self.parameters.values())
        self.policy.eval()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, raw in zip(self.parameters.values(), self._raw, strict=True):
                    parameter.copy_(raw)
            self._raw = []
            self.policy.train()

    def _prune(self) -> None:
        """Remove all checkpoints but the best and the last."""
        folder = self.folder / "checkpoints"
        kept = {(folder / name).resolve() for name in ("best", "last")}
        for old in folder.glob("step_*"):
            if old.resolve() not in kept:
                shutil.rmtree(old)


def _check_at_least(least: int, **settings: float) -> None:
    """Raise PolicyError for a setting that is no number of at least `least`."""
    for name, value in settings.items():
        if isinstance(value, (bool, str)) or not least <= value < math.inf:
            raise PolicyError(f"trainer.{name} is a number of at least {least}; got {value!r}")

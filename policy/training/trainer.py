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
from torch import Tensor

from ..checkpoints.folder import find_checkpoint, link, read_meta, record_metrics, save_checkpoint
from ..checkpoints.reading import read_tensors
from ..diffusion_policy import DiffusionPolicy
from ..errors import PolicyError, unknown_name
from .interrupt import stop_at_interrupt
from .log import TrainingLog

PRECISIONS = ("auto", "float32", "bfloat16")
Batch = Mapping[str, Any]
#: Scores a checkpoint folder, e.g. by rollouts; "success" and "score" choose the best one.
Evaluate = Callable[[Path], Mapping[str, float]]
#: Told of every step: (step, loss or None between logged steps).
OnStep = Callable[[int, float | None], None]


class Trainer:
    """Trains a policy with AdamW, warm-up and cosine decay, and an average of the weights.

    Args:
        policy: the policy to train, its normaliser fitted.
        config: resolved configuration stored with every checkpoint; its "policy" node rebuilds it.
        folder: the run's folder: checkpoints, metrics.jsonl, TensorBoard files.
        n_steps: optimizer steps in all.
        learning_rate, betas, weight_decay: AdamW.
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
        best_by: the metric that chooses the best checkpoint, "success" or "score".
        rate_factors: factor of a parameter's learning rate by its name, where it is not 1 (see
            `networks.scaling`).
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
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        from diffusers.training_utils import EMAModel

        self.policy, self.config, self.folder = policy, config, Path(folder)
        self.n_steps, self.learning_rate, self.warmup_steps = n_steps, learning_rate, warmup_steps
        self.clip_norm, self.accumulation, self.seed = clip_norm, accumulation, seed
        self.log_every, self.checkpoint_minutes = log_every, checkpoint_minutes
        self.evaluate_every, self.best_by = evaluate_every, best_by
        self.device = policy.normalizer.get_buffer("scale:action").device
        self.autocast = _autocast(precision, self.device)
        self.parameters = dict(policy.named_parameters())
        self.optimizer = torch.optim.AdamW(
            _groups(self.parameters, rate_factors or {}),
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

    def fit(
        self,
        batches: Callable[[int], Batch],
        *,
        evaluate: Evaluate | None = None,
        on_step: OnStep = lambda step, loss: None,
    ) -> Path:
        """Train to `n_steps` and return the last checkpoint's folder.

        Ctrl-C and SIGTERM end the loop after the current step with a checkpoint to resume from;
        `self.step < self.n_steps` tells.

        Args:
            batches: maps a micro-batch number to {"obs", "action", "mask"}, a pure function.
            evaluate: scores checkpoints; the best is kept as `checkpoints/best`.
            on_step: progress callback.
        """
        self.policy.train()
        saved = time.monotonic()
        with TrainingLog(self.folder, self.step) as log, stop_at_interrupt() as stop:
            while self.step < self.n_steps and not stop.requested:
                loss, norm = self._train_step(batches)
                logged = self.step % self.log_every == 0 or self.step == self.n_steps
                if logged:
                    group = self.optimizer.param_groups[0]
                    rate = group["lr"] / group["factor"]
                    log.write(self.step, loss=loss.item(), grad_norm=norm.item(), lr=rate)
                on_step(self.step, loss.item() if logged else None)
                due = self.evaluate_every and self.step % self.evaluate_every == 0
                if due and self.step < self.n_steps:
                    self._checkpoint(evaluate, log)
                    saved = time.monotonic()
                elif time.monotonic() - saved > 60 * self.checkpoint_minutes:
                    self._checkpoint(None, log)
                    saved = time.monotonic()
            return self._checkpoint(None if stop.requested else evaluate, log)

    def resume(self, path: str | Path) -> None:
        """Continue exactly where the checkpoint at `path` stopped.

        Raises:
            PolicyError: the checkpoint holds no training state, or not that of this policy.
        """
        folder = find_checkpoint(path)
        if not (folder / "training.safetensors").is_file():
            raise PolicyError(f"'{folder}' holds no training state; it can be run, not resumed")
        state = read_tensors(folder / "training.safetensors")
        meta = read_meta(folder)
        self.step, self.best = int(meta["step"]), float(meta["metrics"].get("best", -math.inf))
        self.policy.load_state_dict(read_tensors(folder / "policy.safetensors"))
        self.ema.optimization_step = self.step
        adam = self.optimizer.state
        for (name, parameter), shadow in zip(
            self.parameters.items(), self.ema.shadow_params, strict=True
        ):
            shadow.copy_(parameter.detach())  # policy.safetensors holds the average
            parameter.data.copy_(_take(state, f"weights.{name}", folder))
            for key in ("exp_avg", "exp_avg_sq", "step"):
                adam[parameter][key] = _take(state, f"{key}.{name}", folder).to(self.device)

    def _rate(self) -> float:
        """Return the learning rate of the coming step: linear warm-up, then a cosine to zero."""
        if self.step < self.warmup_steps:
            return self.learning_rate * (self.step + 1) / self.warmup_steps
        done = (self.step - self.warmup_steps) / max(1, self.n_steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _train_step(self, batches: Callable[[int], Batch]) -> tuple[Tensor, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate() * group["factor"]
        total = torch.zeros((), device=self.device)
        for micro in range(self.accumulation):
            number = self.step * self.accumulation + micro
            # Reseeding at every micro-batch leaves no random state to save.
            torch.manual_seed(self.seed * 1_000_003 + number)
            with self.autocast:
                loss = self.policy.compute_loss(_to(self.device, batches(number)))
            (loss / self.accumulation).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / self.accumulation
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.parameters.values())
        self.step += 1
        return total, norm

    def _checkpoint(self, evaluate: Evaluate | None, log: TrainingLog) -> Path:
        folder = self._save()
        # Linked before the rollouts: a kill during them loses nothing.
        link(folder, "last")
        if evaluate is not None:
            metrics = dict(evaluate(folder))
            log.write(self.step, **{f"eval/{key}": value for key, value in metrics.items()})
            merit = metrics[self.best_by]
            better, self.best = merit >= self.best, max(merit, self.best)
            record_metrics(folder, {**metrics, "best": self.best})
            if better:
                link(folder, "best")
            self.policy.train()
        self._prune()
        return folder

    def _save(self) -> Path:
        state = {f"weights.{name}": value for name, value in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state[parameter].items():
                state[f"{key}.{name}"] = value
        raw = {key: value.detach().clone() for key, value in state.items()}
        with self._averaged():
            return save_checkpoint(
                self.folder / "checkpoints" / f"step_{self.step:07d}",
                config=self.config,
                weights=self.policy.state_dict(),
                table=self.policy.table,
                step=self.step,
                metrics={"best": self.best} if math.isfinite(self.best) else {},
                training=raw,
            )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Hold the averaged weights in the policy, ready to run, then put the raw ones back."""
        self.ema.store(self.parameters.values())
        self.ema.copy_to(self.parameters.values())
        self.policy.eval()
        try:
            yield
        finally:
            self.ema.restore(self.parameters.values())
            self.policy.train()

    def _prune(self) -> None:
        """Remove all checkpoints but the best and the last."""
        folder = self.folder / "checkpoints"
        kept = {(folder / name).resolve() for name in ("best", "last")}
        for old in folder.glob("step_*"):
            if old.resolve() not in kept:
                shutil.rmtree(old)


def _groups(
    parameters: Mapping[str, torch.nn.Parameter], factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: parameters that share a factor of the learning rate."""
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(factors.get(name, 1.0), []).append(parameter)
    return [{"params": group, "factor": factor} for factor, group in groups.items()]


def _autocast(precision: str, device: torch.device) -> torch.autocast:
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    if precision == "auto":
        native = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
        precision = "bfloat16" if native else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _to(device: torch.device, batch: Any) -> Any:
    """Return the batch with its tensors on the device."""
    if isinstance(batch, Mapping):
        return {key: _to(device, value) for key, value in batch.items()}
    return batch.to(device)


def _take(state: Mapping[str, Tensor], key: str, folder: Path) -> Tensor:
    if key not in state:
        raise PolicyError(f"'{folder}' was trained with another network: it lacks '{key}'")
    return state[key]

"""What the training curves say: diverged, still falling, or worse on held-out episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..finding import CAUSE, HINT, Clue, ramp

if TYPE_CHECKING:
    from ..case import Case

#: Records without which a curve says nothing.
FEWEST = 8


def clues(case: Case) -> Sequence[Clue]:
    """Read metrics.jsonl of the run, and how often each window was seen."""
    from kinoise.policy.training.log import read_log

    records = read_log(case.run / "metrics.jsonl")
    losses = np.array([r["loss"] for r in records if "loss" in r], float)
    held_out = np.array([r["validation_loss"] for r in records if "validation_loss" in r], float)
    return [*_epochs(case), *_loss(losses), *_validation(held_out)]


def _epochs(case: Case) -> list[Clue]:
    trainer = case.config.get("trainer", {})
    batch = case.config.get("data", {}).get("batch_size", 0) * trainer.get("accumulation", 1)
    seen = trainer.get("n_steps", 0) * batch / max(1, len(case.loaders.train.windows))
    if not seen:
        return []
    text = f"each window was seen {seen:.1f} times in training"
    return [Clue("undertrained", HINT, ramp(np.log(seen), np.log(20), np.log(2)), text)]


def _loss(losses: NDArray[np.float64]) -> list[Clue]:
    if len(losses) < FEWEST:
        return []
    if not np.isfinite(losses).all():
        return [Clue("diverged", CAUSE, 1.0, "the training loss is not finite")]
    tail = max(2, len(losses) // 10)
    smooth = np.convolve(losses, np.full(tail, 1 / tail), "valid")
    last = smooth[-1]
    rise = last / max(smooth.min(), 1e-12)
    text = f"the loss ends {rise:.1f} times as high as its least"
    return [Clue("diverged", CAUSE, ramp(rise, 2, 5), text)]


def _validation(losses: NDArray[np.float64]) -> list[Clue]:
    if len(losses) < 4:
        return []
    best = int(losses.argmin())
    rise = losses[-1] / max(losses[best], 1e-12)
    text = (
        f"the loss on held-out episodes was least at {100 * (best + 1) / len(losses):.0f} % of the "
        f"training and then rose by {100 * (rise - 1):.0f} %"
    )
    return [Clue("overfitted", CAUSE, ramp(rise, 1.15, 2.0), text)]

"""How many training steps a second this machine takes, measured before the training."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import assembly, tasks

if TYPE_CHECKING:
    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.policy.training.trainer import Trainer

# Steps that warm caches up, and seconds that are measured after them.
WARMING = 5
SECONDS = 1.5
ENOUGH_STEPS = 400


class _Enough(Exception):
    """Ends the steps that are taken to be timed."""


def steps_per_second(
    settings: Any,
    task: tasks.TaskSettings,
    buffer: ReplayBuffer,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Train for a moment, throw the result away, and return the steps a second.

    Args:
        settings: of the training.
        task: what is learnt.
        buffer: its data.
        clock: in seconds; `time.process_time` for steps a second of CPU time.
    """
    from kinoise.policy.training.trainer import Trainer

    loaders = assembly.load_windows(settings, buffer, task)
    node = assembly.fill_dimensions(settings.policy, buffer, task.obs_keys)
    policy = assembly.build_policy(node, buffer, loaders.train, settings.seed, settings.device)
    times: list[float] = []

    def on_step(step: int, loss: float | None) -> None:
        times.append(clock())
        measured = len(times) - WARMING
        if measured > 1 and (times[-1] - times[WARMING] > SECONDS or measured > ENOUGH_STEPS):
            raise _Enough

    with tempfile.TemporaryDirectory(prefix="kinoise-pace-") as folder:
        trainer = Trainer(policy, {}, folder, seed=settings.seed, **_long(settings.trainer))
        if not _stopped(trainer, loaders.train.batch, on_step):
            raise KeyboardInterrupt  # the trainer itself ends quietly
    return (len(times) - 1 - WARMING) / max(times[-1] - times[WARMING], 1e-9)


def _stopped(trainer: Trainer, batches: Any, on_step: Any) -> bool:
    """Train until there is enough to measure; False where an interrupt came first."""
    try:
        trainer.fit(batches, on_step=on_step)
    except _Enough:
        return True
    return False


def _long(trainer: Any) -> dict[str, Any]:
    """Return a trainer's settings with more steps than are taken and no checkpoint between."""
    return {**trainer, "n_steps": 10**9, "checkpoint_minutes": 1e6, "evaluate_every": 0}

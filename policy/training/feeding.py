"""Bring batches to the device; a GPU gets the next one while it works on this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

#: {"obs", "action", "mask"}, tensors on the CPU.
Batch = Mapping[str, Any]


class Feed:
    """Gives batch after batch, as tensors of the device.

    On the CPU a batch is made when it is asked for: another thread would only take a core from the
    network. For a GPU the next one is made and pinned beside the step.

    Args:
        batches: maps a micro-batch number to its batch, a pure function.
        device: where the policy computes.
    """

    def __init__(self, batches: Callable[[int], Batch], device: torch.device) -> None:
        self.batches = batches
        self.device = device
        self._pool = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, number: int) -> Batch:
        """Return micro-batch `number` on the device."""
        if self._pool is None:
            return to_device(self.batches(number), self.device)

        batch = self._taken(number)
        self._next = number + 1, self._pool.submit(self._pinned, number + 1)
        return to_device(batch, self.device)

    def close(self) -> None:
        """Forget the batch that was made ahead."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _taken(self, number: int) -> Batch:
        """Return the batch that was made ahead, or make it now."""
        if self._next is not None and self._next[0] == number:
            return self._next[1].result()
        return self._pinned(number)

    def _pinned(self, number: int) -> Batch:
        """Make a batch in memory from which copies to a GPU need not wait."""
        return _each(self.batches(number), torch.Tensor.pin_memory)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on the device."""
    return _each(batch, lambda tensor: tensor.to(device, non_blocking=True))


def _each(batch: Batch, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the batch with every tensor changed."""
    return {
        key: _each(value, change) if isinstance(value, Mapping) else change(value)
        for key, value in batch.items()
    }

"""Training batches: one gather per key from contiguous memory, a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import DatasetError, nearest, whole_number
from .keys import ACTION
from .memory import count_episodes, load_steps
from .storage import ReplayBuffer
from .symmetry import Affine, SymmetryMap
from .windows import Padding, WindowIndex, split_episodes

# A batch that takes more is a mistake in the horizon or the batch size.
BATCH_BYTES = 4 << 30

LastBatch = Literal["drop", "wrap"]
Batch = dict[str, Any]


class WindowLoader:
    """Batches of windows in an order that depends on the seed and the step number only.

    Epoch e visits the windows in the permutation drawn by a Philox generator keyed with
    (seed, e); `batch(step)` therefore needs no state, and a resumed run passes its step number.
    """

    def __init__(
        self,
        steps: Mapping[str, torch.Tensor],
        windows: WindowIndex,
        *,
        batch_size: int,
        seed: int = 0,
        last_batch: LastBatch = "drop",
        symmetry: SymmetryMap | None = None,
    ) -> None:
        """Serve windows over steps in memory; `load_windows` builds both from a data set.

        Args:
            steps: {key: [N, ...]}, `action` among them, the rest observations.
            windows: Which rows make a window.
            batch_size: B.
            seed: Decides the order of every epoch.
            last_batch: What becomes of an epoch's windows that fill no whole batch: "drop" leaves
                them out (other ones each epoch), "wrap" fills up with the epoch's first.
            symmetry: Applied to half of the windows of every batch, if given.

        Raises:
            DatasetError: The seed is negative, the batch size is below 1 or, under "drop",
                above the number of windows, or a batch would take gigabytes.
        """
        if last_batch not in get_args(LastBatch):
            raise DatasetError(
                f"unknown last_batch {last_batch!r}{nearest(last_batch, get_args(LastBatch))}"
            )
        whole_number("seed", seed, 0)
        whole_number("batch_size", batch_size, 1)
        if last_batch == "drop" and batch_size > len(windows):
            raise DatasetError(
                f"batch_size is {batch_size} with {len(windows)} windows; give 1 to "
                f"{len(windows)}, or last_batch=wrap"
            )
        _check_size(steps, windows, batch_size)
        self.windows = windows
        self.batch_size = batch_size
        self.seed = seed
        self.steps = dict(steps)
        self.symmetry = symmetry
        whole, rest = divmod(len(windows), batch_size)
        self.batches_per_epoch = whole + (1 if rest and last_batch == "wrap" else 0)
        self._epoch = -1
        self._order: NDArray[np.int64] = np.arange(0)

    def batch(self, step: int) -> Batch:
        """Return the batch of a training step.

        Returns:
            `obs` {key: float32 [B, To, ...], pictures uint8}, `action` float32 [B, H, Da] and
            `mask` bool [B, H] (True = counts in the loss).
        """
        epoch, position = divmod(step, self.batches_per_epoch)
        order = self._permutation(epoch)
        begin = position * self.batch_size
        chosen = order[begin : begin + self.batch_size]
        if len(chosen) < self.batch_size:
            chosen = np.take(order, np.arange(begin, begin + self.batch_size), mode="wrap")
        batch = self.gather(chosen)
        return batch if self.symmetry is None else self.symmetry.some(batch, self.seed, step)

    def gather(self, chosen: NDArray[np.int64], obs_keys: Collection[str] | None = None) -> Batch:
        """Return the windows with these numbers, in this order, as `batch` does.

        Args:
            chosen: Numbers of windows.
            obs_keys: Observations to gather, all if None.
        """
        wanted = self.steps.keys() if obs_keys is None else obs_keys
        action_rows = self.windows.action_rows(chosen)
        obs_rows = torch.from_numpy(action_rows[:, : self.windows.n_obs_steps].reshape(-1))
        chunk_rows = torch.from_numpy(action_rows.reshape(-1))
        shape = (len(chosen), self.windows.n_obs_steps)
        return {
            "obs": {
                key: values.index_select(0, obs_rows).view(*shape, *values.shape[1:])
                for key, values in self.steps.items()
                if key != ACTION and key in wanted
            },
            ACTION: self.steps[ACTION]
            .index_select(0, chunk_rows)
            .view(len(chosen), self.windows.horizon, -1),
            "mask": torch.from_numpy(self.windows.mask(chosen)),
        }

    def shown(self, obs_keys: Collection[str]) -> Iterator[Batch]:
        """Yield all that training is shown: every window, and under a symmetry its image too.

        Args:
            obs_keys: Observations to gather.
        """
        for chosen in self._in_order():
            batch = self.gather(chosen, obs_keys)
            yield batch
            if self.symmetry is not None:
                yield self.symmetry.all(batch)

    def batches(self) -> Iterator[Batch]:
        """Yield every window once, in the data set's order; the last batch may be smaller.

        For a pass over the validation windows: the same batches every time, nothing mirrored.
        """
        yield from map(self.gather, self._in_order())

    def _in_order(self) -> Iterator[NDArray[np.int64]]:
        """Yield the numbers of every window once, a batch at a time."""
        for begin in range(0, len(self.windows), self.batch_size):
            yield np.arange(begin, min(begin + self.batch_size, len(self.windows)))

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._order = generator.permutation(len(self.windows))
            self._epoch = epoch
        return self._order


@dataclass(frozen=True)
class Loaders:
    """Training and validation loaders over one copy of the steps.

    Attributes:
        train: Windows to train on.
        validation: Windows of the episodes set aside; None when none are.
        train_episodes: Sorted episode numbers.
        validation_episodes: Sorted episode numbers.
    """

    train: WindowLoader
    validation: WindowLoader | None
    train_episodes: NDArray[np.int64]
    validation_episodes: NDArray[np.int64]


def load_windows(
    buffer: ReplayBuffer | str | Path,
    *,
    obs_keys: Sequence[str],
    n_obs_steps: int,
    horizon: int,
    n_action_steps: int,
    batch_size: int,
    seed: int = 0,
    padding: Padding = "repeat",
    pad_before: int | None = None,
    pad_after: int | None = None,
    last_batch: LastBatch = "drop",
    n_episodes: int | None = None,
    validation_fraction: float = 0.0,
    split_seed: int = 0,
    memory_bytes: int = 2 << 30,
    scratch: str | Path | None = None,
    symmetry: Mapping[str, Affine] | None = None,
) -> Loaders:
    """Load a data set and serve its windows.

    Args:
        buffer: A data set or its path.
        obs_keys: Observations to load, besides the action.
        n_obs_steps: To.
        horizon: H.
        n_action_steps: Ta.
        batch_size: B.
        seed: Decides the order of the batches.
        padding: See `WindowIndex`.
        pad_before: See `WindowIndex.build`.
        pad_after: See `WindowIndex.build`.
        last_batch: See `WindowLoader`.
        n_episodes: Use only this many episodes from the start, all if None.
        validation_fraction: Part of the episodes to set aside.
        split_seed: Decides which; apart from `seed`, so that training seeds share one split.
        memory_bytes: See `memory.load_steps`.
        scratch: See `memory.load_steps`.
        symmetry: Of the task, {key: (matrix, offset)}; doubles the training data.

    Raises:
        DatasetError: A key is unknown or damaged, sizes contradict, or too little data.
    """
    if not isinstance(buffer, ReplayBuffer):
        buffer = ReplayBuffer.open(buffer)

    # What is cheap to check comes before what is dear to load.
    n_used = count_episodes(buffer, n_episodes)
    train, validation = split_episodes(n_used, validation_fraction, split_seed)

    def windows_of(episodes: NDArray[np.int64]) -> WindowIndex:
        return WindowIndex.build(
            buffer.episode_ends,
            n_obs_steps=n_obs_steps,
            horizon=horizon,
            n_action_steps=n_action_steps,
            padding=padding,
            pad_before=pad_before,
            pad_after=pad_after,
            episodes=episodes,
        )

    train_windows = windows_of(train)
    validation_windows = _validation_windows(windows_of, validation)
    keys = [*dict.fromkeys(obs_keys), ACTION]
    steps = load_steps(buffer, keys, n_episodes=n_used, memory_bytes=memory_bytes, scratch=scratch)
    train_loader = WindowLoader(
        steps,
        train_windows,
        batch_size=batch_size,
        seed=seed,
        last_batch=last_batch,
        symmetry=SymmetryMap(symmetry, steps) if symmetry else None,
    )
    validation_loader = None
    if validation_windows is not None:
        size = min(batch_size, len(validation_windows))
        validation_loader = WindowLoader(
            steps, validation_windows, batch_size=size, seed=seed, last_batch="wrap"
        )
    return Loaders(
        train=train_loader,
        validation=validation_loader,
        train_episodes=train,
        validation_episodes=validation,
    )


def _validation_windows(
    windows_of: Callable[[NDArray[np.int64]], WindowIndex], episodes: NDArray[np.int64]
) -> WindowIndex | None:
    """Return the windows of the episodes set aside, None when there are none."""
    if not len(episodes):
        return None
    try:
        return windows_of(episodes)
    except DatasetError as error:
        raise DatasetError(
            f"of the episodes set aside for validation, {error}, or set validation_fraction=0"
        ) from error


def _check_size(steps: Mapping[str, torch.Tensor], windows: WindowIndex, batch_size: int) -> None:
    """Refuse a batch that no machine holds, before the machine finds out."""
    row = np.dtype(np.int64).itemsize
    window = windows.horizon * row
    for key, values in steps.items():
        length = windows.horizon if key == ACTION else windows.n_obs_steps
        window += length * values[0].numel() * values.element_size()
    if batch_size * window > BATCH_BYTES:
        raise DatasetError(
            f"a batch of {batch_size} windows of horizon {windows.horizon} takes "
            f"{batch_size * window >> 20} MiB; lower the horizon or the batch size"
        )

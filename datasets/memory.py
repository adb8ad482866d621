"""The steps of a data set as contiguous tensors, in memory or memory-mapped."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import DatasetError, whole_number
from .keys import is_image
from .storage import ReplayBuffer


def load_steps(
    buffer: ReplayBuffer,
    keys: Sequence[str],
    *,
    n_episodes: int | None = None,
    memory_bytes: int = 2 << 30,
    scratch: str | Path | None = None,
) -> dict[str, torch.Tensor]:
    """Decode keys once, chunk by chunk, into tensors [N, ...] that a batch is gathered from.

    Pictures become uint8, everything else float32. Pictures that do not fit are decoded into a
    memory-mapped file without a name, which the system deletes when the process ends.

    Args:
        buffer: The data set.
        keys: What to load.
        n_episodes: Load only this many episodes from the start, all if None.
        memory_bytes: How much of memory pictures may take, all keys together.
        scratch: Directory for the memory-mapped files. If None, the one the data set lies in,
            or the system's temporary one (which may itself be memory) where that is read-only.

    Raises:
        DatasetError: A key is unknown or damaged, the scratch disk is full, or pictures hold
            numbers that uint8 cannot.
    """
    n_steps = int(buffer.episode_ends[count_episodes(buffer, n_episodes) - 1])
    if scratch is None and os.access(buffer.path.parent, os.W_OK):
        scratch = buffer.path.parent
    steps: dict[str, torch.Tensor] = {}
    for key in keys:
        shape = (n_steps, *buffer[key].shape[1:])
        picture = is_image(shape)
        target: NDArray[Any]
        if not picture:
            target = np.empty(shape, dtype=np.float32)
        elif math.prod(shape) <= memory_bytes:
            memory_bytes -= math.prod(shape)
            target = np.empty(shape, dtype=np.uint8)
        else:
            target = _mapped_pixels(shape, scratch)

        for start, rows in buffer.blocks(key, n_steps):
            converted = _as_bytes(key, rows) if picture else _as_floats(key, rows, start)
            target[start : start + len(rows)] = converted
        steps[key] = torch.from_numpy(target)
    return steps


def count_episodes(buffer: ReplayBuffer, n_episodes: int | None) -> int:
    """Return how many episodes from the start are meant, all if None.

    Raises:
        DatasetError: The data set has none, or not so many.
    """
    if not buffer.n_episodes:
        raise DatasetError(f"{buffer.path} holds no episode yet; collect or import some")
    if n_episodes is None:
        return buffer.n_episodes
    return whole_number("n_episodes", n_episodes, 1, most=buffer.n_episodes)


def _mapped_pixels(shape: tuple[int, ...], scratch: str | Path | None) -> NDArray[np.uint8]:
    size = math.prod(shape)
    try:
        # The unlinked file's blocks live as long as the mapping, and no longer even after a kill.
        with tempfile.TemporaryFile(dir=scratch) as file:
            # Reserved now, because a full disk under a mapping kills the process (SIGBUS) later.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
            return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise DatasetError(
            f"cannot keep {size >> 20} MiB of decoded pictures in "
            f"{scratch or tempfile.gettempdir()} ({error.strerror}); raise memory_bytes or name "
            "another scratch directory"
        ) from error


def _as_floats(key: str, rows: NDArray[np.generic], start: int) -> NDArray[np.float32]:
    """Return rows as float32, refusing what would turn every weight to NaN."""
    with np.errstate(over="ignore"):
        floats = rows.astype(np.float32, copy=False)
    finite = np.isfinite(floats.reshape(len(floats), -1)).all(axis=1)
    if not finite.all():
        raise DatasetError(
            f"key {key!r} holds NaN, infinity or numbers beyond float32 at step "
            f"{start + int(np.argmin(finite))}; `kinoise inspect` names the episodes, leave them "
            "out or repair them"
        )
    return floats


def _as_bytes(key: str, rows: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return pictures as uint8, refusing to lose anything."""
    if rows.dtype == np.uint8:
        return rows.astype(np.uint8, copy=False)
    with np.errstate(invalid="ignore"):
        pixels = rows.astype(np.uint8)
    if not np.array_equal(pixels, rows):
        raise DatasetError(
            f"key {key!r} holds pictures with numbers other than 0, 1, ..., 255; "
            "store them as uint8 [N, h, w, c]"
        )
    return pixels

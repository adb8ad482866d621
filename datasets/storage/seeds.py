"""Which seeds a data set's episodes came from, and which were tried and left out.

`meta/episode_seed` [n_episodes] is written before the episode's end, which alone makes both count,
so that neither is ever seen without the other. `meta/rejected_seed` lists seeds whose episode was
not worth keeping. Data sets without them, foreign or old, are complete: their seeds are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from ..errors import DatasetError
from .chunks import Array, writes_all
from .layout import FLAT_CHUNK_NAMES, child_array, extend_at_once

UNKNOWN = -1
CHUNK_ROWS = 1 << 12
EPISODE_SEED = "episode_seed"
REJECTED_SEED = "rejected_seed"


class SeedRecord:
    """The seeds of one data set.

    Attributes:
        of_episodes: int64 [n_episodes], `UNKNOWN` where nobody said.
        rejected: int64 [n_rejected], in the order they were tried.
    """

    def __init__(self, path: Path, meta: zarr.Group, n_episodes: int) -> None:
        """Read the seeds of the first `n_episodes` episodes."""
        self._path = path
        self._meta = meta
        self._staged: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.rejected = _read(meta, REJECTED_SEED)
        self.of_episodes = np.full(n_episodes, UNKNOWN, dtype=np.int64)
        # A killed writer may have left the seed of an episode that did not come to be.
        known = _read(meta, EPISODE_SEED)[:n_episodes]
        self.of_episodes[: len(known)] = known

    @property
    def tried(self) -> frozenset[int]:
        """Every known seed of an episode, kept or left out."""
        seeds = {*self.of_episodes.tolist(), *self.rejected.tolist()}
        return frozenset(seeds - {UNKNOWN})

    @property
    def next(self) -> int | None:
        """The seed after the last that was tried; None where some episode's is unknown."""
        if UNKNOWN in self.of_episodes:
            return None
        return max(self.tried, default=-1) + 1

    def check(self, seeds: Sequence[int], count: int, *, may_repeat: bool = False) -> None:
        """Hold the seeds of `count` coming episodes to what is there.

        Raises:
            DatasetError: A seed is negative or was tried before, or their number differs.
        """
        distinct = may_repeat or len(set(seeds)) == len(seeds)
        if len(seeds) != count or not distinct or min(seeds, default=0) < 0:
            raise DatasetError(
                f"{self._path}: seeds {list(seeds)} do not fit {count} episode(s); give one a "
                "piece, distinct and not negative"
            )
        for seed in () if may_repeat else seeds:
            if seed in self.tried:
                raise DatasetError(f"{self._path}: seed {seed} was tried already; give a fresh one")

    def stage(self, n_new: int, seeds: Sequence[int] | None) -> None:
        """Write the seeds of `n_new` coming episodes, unseen until their ends are written."""
        if seeds is None:
            self._staged = np.full(n_new, UNKNOWN, dtype=np.int64)
            return
        self._staged = np.asarray(seeds, dtype=np.int64)
        array = self._array(EPISODE_SEED)
        every = np.concatenate([self.of_episodes, self._staged])
        # Episodes without a seed may have come since the last one with a seed.
        begin = min(array.shape[0], len(self.of_episodes))
        array.resize(every.shape)
        array[begin:] = every[begin:]

    def committed(self) -> None:
        """Count the staged seeds: their episodes are on disk."""
        self.of_episodes = np.concatenate([self.of_episodes, self._staged])
        self._staged = np.empty(0, dtype=np.int64)

    def reject(self, seed: int) -> None:
        """Record that this seed was tried and its episode left out."""
        extend_at_once(self._array(REJECTED_SEED), np.array([seed], dtype=np.int64))
        self.rejected = np.append(self.rejected, np.int64(seed))

    def _array(self, name: str) -> Array:
        if name in self._meta:
            return child_array(self._meta, name)
        array = self._meta.create_array(
            name,
            shape=(0,),
            chunks=(CHUNK_ROWS,),
            dtype="int64",
            fill_value=UNKNOWN,
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()],
            chunk_key_encoding=FLAT_CHUNK_NAMES,
        )
        return writes_all(array)


def _read(meta: zarr.Group, name: str) -> NDArray[np.int64]:
    if name not in meta:
        return np.empty(0, dtype=np.int64)
    return np.asarray(child_array(meta, name)[:], dtype=np.int64)

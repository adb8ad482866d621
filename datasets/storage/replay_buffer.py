"""Demonstrations on disk: zarr 3 in the Diffusion Policy layout, atomic per episode.

Layout (Chi et al. 2023, reference code): `data/<key>` of shape [N, ...] holds
every episode's steps end to end, `meta/episode_ends` of shape [n_episodes] the row after each
episode's last. The observation of a row is what the action of the same row was chosen from.

Rows go to disk first, the new end last and by one rename (`layout.extend_at_once`): whatever a
kill leaves behind, a reader sees whole episodes only.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import DatasetError, nearest
from ..keys import ACTION
from .attributes import complete_attributes
from .chunks import Array, DamagedChunkError, read_rows, writes_all
from .directory import (
    cannot_write,
    lock_directory,
    publish,
    refuse_existing,
    refuse_foreign,
    sweep,
    sweep_beside,
    sync_directory,
)
from .layout import (
    check_consistent,
    child_array,
    child_group,
    create_arrays,
    create_groups,
    extend_at_once,
)
from .seeds import SeedRecord
from .store import DurableStore
from .validation import Episode, check_matches, check_rows


class ReplayBuffer:
    """A data set of episodes. Make one with `create`, read or extend one with `open`.

    Attributes:
        path: The data set's directory.
        attrs: What `attributes.complete_attributes` returns, as read from the file.
        episode_ends: int64 [n_episodes], the row after each episode's last.
    """

    def __init__(self, path: Path, group: zarr.Group, lock: int | None) -> None:
        """Wrap an opened group; use `create` or `open`."""
        self.path = path
        self.attrs: dict[str, Any] = group.attrs.asdict()
        self._group = group
        self._lock = lock

        # The ends are read before the data's shapes: a writer extends them in the other order.
        self._ends = child_array(group, "meta/episode_ends")
        self.episode_ends: NDArray[np.int64] = np.asarray(self._ends[:], dtype=np.int64)
        self._staged = 0

        self._seeds = SeedRecord(path, child_group(group, "meta"), self.n_episodes)
        data = child_group(group, "data")
        self._arrays = {name: writes_all(array) for name, array in sorted(data.arrays())}

    @classmethod
    def create(cls, path: str | Path, attrs: Mapping[str, Any] | None = None) -> Self:
        """Make an empty data set and open it for appending; `replacing` replaces one.

        Args:
            path: Directory to make; its parents are made too.
            attrs: See `attributes.complete_attributes`.

        Raises:
            DatasetError: Something stands there already, or an attribute is wrong.
        """
        path = Path(path)
        refuse_existing(path)
        attributes = complete_attributes(attrs)

        sweep_beside(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.creating")
        try:
            create_groups(temporary, attributes)
            publish(temporary, path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise DatasetError(cannot_write(path, error)) from error
        return cls.open(path, mode="a")

    @classmethod
    def open(cls, path: str | Path, mode: Literal["r", "a"] = "r") -> Self:
        """Open a data set to read ("r") or to append to ("a", one process at a time).

        Opening for appending removes what a killed writer left past the last whole episode.

        Raises:
            DatasetError: No data set of ours stands there, it is damaged, it comes from a newer
                version, or another process is appending to it.
        """
        path = Path(path)
        if mode not in ("r", "a"):
            raise DatasetError(f"mode {mode!r} is unknown; give 'r' to read or 'a' to append")
        refuse_foreign(path)
        lock = lock_directory(path) if mode == "a" else None
        try:
            group = zarr.open_group(
                DurableStore(path, read_only=mode == "r"),
                mode="r" if mode == "r" else "r+",
                zarr_format=3,
                use_consolidated=False,
            )

            buffer = cls(path, group, lock)
            check_consistent(path, buffer.attrs, buffer.episode_ends, buffer._arrays)
            if mode == "a":
                buffer._remove_leftovers()
        except BaseException as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, DatasetError) or not isinstance(error, Exception):
                raise
            raise DatasetError(
                f"{path}: the data set cannot be read ({_one_line(error)}); restore it from a "
                "copy, or collect or import it again"
            ) from error
        return buffer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"ReplayBuffer({str(self.path)!r}, n_episodes={self.n_episodes}, "
            f"n_steps={self.n_steps}, keys={self.keys})"
        )

    def close(self) -> None:
        """Let another process append; reading stays possible."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def n_episodes(self) -> int:
        """How many whole episodes the data set holds."""
        return len(self.episode_ends)

    @property
    def n_steps(self) -> int:
        """How many rows the whole episodes hold together."""
        return int(self.episode_ends[-1]) if self.n_episodes else 0

    @property
    def keys(self) -> list[str]:
        """The names under `data`, sorted; empty before the first episode."""
        return list(self._arrays)

    @property
    def episode_seeds(self) -> NDArray[np.int64]:
        """The seed [n_episodes] that each episode came from, -1 where it is unknown."""
        return self._seeds.of_episodes

    @property
    def tried_seeds(self) -> frozenset[int]:
        """The seeds of the episodes, and those whose episode was left out."""
        return self._seeds.tried

    @property
    def next_seed(self) -> int | None:
        """The seed after the last that was tried; None where some episode's is unknown."""
        return self._seeds.next

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def __getitem__(self, key: str) -> Array:
        """Return the zarr array of `key`; its first `n_steps` rows belong to whole episodes."""
        if key not in self._arrays:
            raise DatasetError(f"{self.path} has no key {key!r}{nearest(key, self._arrays)}")
        return self._arrays[key]

    def bounds(self, episode: int) -> tuple[int, int]:
        """Return the first row of an episode and the row after its last."""
        if not 0 <= episode < self.n_episodes:
            raise DatasetError(
                f"{self.path} has no episode {episode}; it holds {self.n_episodes}, counted from 0"
            )
        start = self.episode_ends[episode - 1] if episode else 0
        return int(start), int(self.episode_ends[episode])

    def episode(self, episode: int) -> dict[str, NDArray[Any]]:
        """Return every key's rows [T, ...] of one episode."""
        start, stop = self.bounds(episode)
        return {key: self.read(key, start, stop) for key in self.keys}

    def read(self, key: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows [start, stop) of a key (all committed rows by default).

        Raises:
            DatasetError: The key is unknown or one of its chunk files is damaged or gone.
        """
        array = self[key]
        stop = self.n_steps if stop is None else min(stop, self.n_steps)
        if stop <= start:
            return np.empty((0, *array.shape[1:]), dtype=array.dtype)
        try:
            return read_rows(array, self.path / "data" / key, start, stop)
        except DamagedChunkError as error:
            raise self._damage(key, error) from error

    def blocks(self, key: str, n_steps: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield `(first row, rows)` chunk by chunk: a pass over a key in bounded memory."""
        stop = self.n_steps if n_steps is None else min(n_steps, self.n_steps)
        rows = self[key].chunks[0]
        for start in range(0, stop, rows):
            yield start, self.read(key, start, min(start + rows, stop))

    def append_episode(self, episode: Episode, seed: int | None = None) -> None:
        """Append one whole episode, or nothing of it.

        Args:
            episode: {key: [T, ...]}. The first episode decides the keys, dtypes and shapes.
            seed: What the episode was made from, where it was; each seed comes once.

        Raises:
            DatasetError: Keys, shapes or dtypes differ from the data set's, lengths differ, a
                number is NaN or infinite, the seed was tried before, or the disk refuses; the
                data set is as it was.
        """
        if self._staged:
            raise DatasetError(
                f"{self.path}: {self._staged} appended steps are not committed; call commit first"
            )
        if seed is not None:
            self._seeds.check([seed], 1)
        self.append_steps(episode)
        self.commit([self._staged], None if seed is None else [seed])

    def append_steps(self, steps: Episode) -> None:
        """Write rows {key: [t, ...]} that stay unseen until `commit`.

        For episodes too long for memory, and for importers. Raises as `append_episode`.
        """
        self._require_writable()
        rows = check_rows(steps, first=self._staged)
        check_matches(rows, self._arrays, self.path)
        start = self.n_steps + self._staged
        with self._nothing_lost():
            if not self._arrays:
                # A first episode cut short, by a kill or a full disk, may have left other keys.
                for leftover in (self.path / "data").glob("*/"):
                    shutil.rmtree(leftover)
                self._arrays = create_arrays(self._group, rows)
            # Keys go side by side, because each waits for the disk several times.
            with ThreadPoolExecutor(len(rows)) as pool:
                for _ in pool.map(lambda key: self._write_rows(key, start, rows[key]), rows):
                    pass
        self._staged += len(rows[ACTION])

    def commit(
        self,
        lengths: Sequence[int],
        seeds: Sequence[int] | None = None,
        *,
        may_repeat: bool = False,
    ) -> None:
        """Turn the rows appended since the last commit into whole episodes.

        Args:
            lengths: Of the episodes.
            seeds: Of the episodes, where they have any.
            may_repeat: Take a seed more than once, for recordings of others: two people may have
                shown the same start.

        Raises:
            DatasetError: The lengths do not add up to the appended rows, a seed was tried before,
                or the disk refuses.
        """
        if sum(lengths) != self._staged or min(lengths, default=1) < 1:
            raise DatasetError(
                f"{self.path}: cannot commit episodes of {sum(lengths)} steps together when "
                f"{self._staged} are appended; give positive lengths that add up"
            )
        new = np.cumsum([self.n_steps, *lengths], dtype=np.int64)[1:]
        if seeds is not None:
            self._seeds.check(seeds, len(lengths), may_repeat=may_repeat)
        with self._nothing_lost():
            self._seeds.stage(len(lengths), seeds)
            extend_at_once(self._ends, new)
        self._seeds.committed()
        self.episode_ends = np.concatenate([self.episode_ends, new])
        self._staged = 0

    def reject_seed(self, seed: int) -> None:
        """Record that a seed was tried and its episode left out, so that nobody tries it again.

        Raises:
            DatasetError: The seed was tried before, or the disk refuses.
        """
        self._require_writable()
        self._seeds.check([seed], 1)
        with self._nothing_lost():
            self._seeds.reject(seed)

    def _require_writable(self) -> None:
        if self._lock is None:
            raise DatasetError(f"{self.path} is open to read only; open it with mode='a'")

    @contextmanager
    def _nothing_lost(self) -> Iterator[None]:
        """Turn a refused write into one line, and forget the rows it cut off."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            # zarr's writing threads may still be at it: no more appends through this object.
            self.close()
            raise
        except OSError as error:
            self._staged = 0
            if not self.n_episodes:
                self._arrays = {}
            raise DatasetError(
                f"{cannot_write(self.path, error)}; {self.n_episodes} whole episodes "
                f"({self.n_steps} steps) are kept, append again from the next"
            ) from error

    def _write_rows(self, key: str, start: int, values: NDArray[Any]) -> None:
        array = self._arrays[key]
        folder = self.path / "data" / key
        if start % array.chunks[0]:
            # The last chunk is about to be rewritten: a damaged one must not pass for a sound one.
            try:
                read_rows(array, folder, start - 1, start)
            except DamagedChunkError as error:
                raise self._damage(key, error) from error
        array.resize((start + len(values), *array.shape[1:]))
        array[start:] = values
        sync_directory(folder)

    def _remove_leftovers(self) -> None:
        sweep(self.path)
        if not self.n_episodes:
            self._arrays = {}
        for array in self._arrays.values():
            if array.shape[0] > self.n_steps:
                array.resize((self.n_steps, *array.shape[1:]))

    def _damage(self, key: str, error: DamagedChunkError) -> DatasetError:
        fault = "is damaged" if error.path.exists() else "is missing"
        start = error.index * self._arrays[key].chunks[0]
        whole = int(np.searchsorted(self.episode_ends, start, side="right"))
        mend = f", or use the first {whole} episodes (n_episodes={whole})" if whole else ""
        return DatasetError(
            f"key {key!r}: chunk file {error.path} {fault}; restore it from a copy, collect or "
            f"import the data again{mend}"
        )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]

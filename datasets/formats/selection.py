"""Views of an opened source: other names for its keys, without its shortest episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, nearest
from ..keys import ACTION
from .importer import Block, ForeignData


def renamed(data: ForeignData, names: Mapping[str, str]) -> ForeignData:
    """Return the data with `names`, {our key: the source's}, in place of the source's.

    A key of the source may be named twice; the action keeps its name if it is given no other.
    """
    ours = {ACTION: ACTION, **names}

    def blocks(n_rows: int) -> Iterator[Block]:
        for block in data.blocks(n_rows):
            yield {key: block[name] for key, name in ours.items()}

    def blocks_of(n_rows: int, episodes: NDArray[np.int64]) -> Iterator[Block]:
        for block in rows_of(data, n_rows, episodes):
            yield {key: block[name] for key, name in ours.items()}

    return replace(
        data,
        shapes={key: data.shapes[name] for key, name in ours.items()},
        dtypes={key: data.dtypes[name] for key, name in ours.items()},
        blocks=blocks,
        blocks_of=blocks_of if data.blocks_of is not None else None,
        mapped={key: data.mapped.get(name, name) for key, name in ours.items() if key != name},
    )


def without_short(data: ForeignData, min_steps: int, path: Path) -> ForeignData:
    """Return the data without the episodes of fewer than `min_steps` steps.

    Raises:
        DatasetError: No episode is left.
    """
    lengths = np.diff(data.episode_ends, prepend=0)
    kept = lengths >= min_steps
    if kept.all():
        return data
    if not kept.any():
        raise DatasetError(
            f"{path}: every episode is shorter than {min_steps} steps, the longest has "
            f"{lengths.max()}; give min_steps=1 to take them"
        )
    dropped = int((~kept).sum())
    note = f"not carried over: {dropped} episodes of fewer than {min_steps} steps (min_steps)"
    return select(data, kept, note)


def subset(data: ForeignData, name: str | None, path: Path) -> ForeignData:
    """Return the part of the data that its source calls `name`; all of it for None.

    Raises:
        DatasetError: There is no such part.
    """
    if name is None:
        return data
    if name not in data.subsets:
        parts = nearest(name, data.subsets) if data.subsets else "; it names none, leave subset out"
        raise DatasetError(f"{path} has no part called {name!r}{parts}")
    kept = data.subsets[name]
    if not kept.any():
        raise DatasetError(f"{path}: the part {name!r} is empty; choose another with subset=...")
    note = f"not carried over: {int((~kept).sum())} episodes outside of {name!r} (subset)"
    return select(data, kept, note)


def select(data: ForeignData, kept: NDArray[np.bool_], note: str) -> ForeignData:
    """Return some episodes of the data, those where `kept` [n_episodes] is true."""
    lengths = np.diff(data.episode_ends, prepend=0)
    chosen = np.flatnonzero(kept)

    def blocks_of(n_rows: int, episodes: NDArray[np.int64]) -> Iterator[Block]:
        return rows_of(data, n_rows, chosen[episodes])

    return replace(
        data,
        episode_ends=np.cumsum(lengths[kept]),
        blocks=lambda n_rows: rows_of(data, n_rows, chosen),
        blocks_of=blocks_of,
        seeds=None if data.seeds is None else data.seeds[kept],
        subsets={name: part[kept] for name, part in data.subsets.items()},
        notes=(*data.notes, note),
    )


def rows_of(data: ForeignData, n_rows: int, episodes: NDArray[np.int64]) -> Iterator[Block]:
    """Yield the rows of some episodes, given in order; where need be by reading all."""
    if data.blocks_of is not None:
        yield from data.blocks_of(n_rows, episodes)
        return
    wanted = np.zeros(len(data.episode_ends), dtype=bool)
    wanted[episodes] = True
    start = 0
    for block in data.blocks(n_rows):
        stop = start + len(block[ACTION])
        of_rows = np.searchsorted(data.episode_ends, np.arange(start, stop), side="right")
        start = stop
        rows = wanted[of_rows]
        if rows.any():
            yield {key: values[rows] for key, values in block.items()}

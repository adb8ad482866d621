"""Views of an opened source: other names for its keys, without its shortest episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError
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

    return replace(
        data,
        shapes={key: data.shapes[name] for key, name in ours.items()},
        dtypes={key: data.dtypes[name] for key, name in ours.items()},
        blocks=blocks,
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

    def blocks(n_rows: int) -> Iterator[Block]:
        start = 0
        for block in data.blocks(n_rows):
            stop = start + len(block[ACTION])
            episodes = np.searchsorted(data.episode_ends, np.arange(start, stop), side="right")
            start = stop
            rows = kept[episodes]
            if rows.any():
                yield {key: values[rows] for key, values in block.items()}

    dropped = int((~kept).sum())
    note = f"not carried over: {dropped} episodes of fewer than {min_steps} steps (min_steps)"
    return replace(
        data,
        episode_ends=np.cumsum(lengths[kept]),
        blocks=blocks,
        seeds=None if data.seeds is None else data.seeds[kept],
        notes=(*data.notes, note),
    )

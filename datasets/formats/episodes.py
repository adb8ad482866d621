"""A Python generator of episodes as a source: any format that a few lines of Python can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..keys import ACTION
from ..storage import ReplayBuffer, replacing
from .copying import ImportReport
from .plain.nested import arrays_of
from .rules.arrays import refuse_objects
from .stating import outside_limits, unstated

SEED = "seed"


def import_episodes(
    episodes: Iterable[Mapping[str, Any]],
    destination: str | Path,
    *,
    attributes: Mapping[str, Any] | None = None,
    min_steps: int = 1,
    overwrite: bool = False,
) -> ImportReport:
    """Write a data set from episodes that Python code yields, one in memory at a time.

    Args:
        episodes: Each {key: [T, ...]} with `action`; a key with T + 1 rows loses the last, the
            observation after the last action. `seed` may be one number. A dict in a dict gives
            keys such as `obs_pos`.
        destination: Directory to make; it gets its name when all episodes are there.
        attributes: See `storage.attributes.complete_attributes`.
        min_steps: Leave out episodes of fewer steps.
        overwrite: Replace a data set at `destination`.

    Raises:
        DatasetError: An episode is not such, or differs from the first; nothing is written.
    """
    destination = Path(destination)
    short = 0
    given = {"source": {"format": "python"}, **(attributes or {})}
    with replacing(destination, given, overwrite=overwrite) as buffer:
        for number, episode in enumerate(episodes):
            steps, seed = _steps(f"episode {number}", episode)
            if len(steps[ACTION]) < min_steps:
                short += 1
                continue
            buffer.append_steps(steps)
            seeds = None if seed is None else [seed]
            buffer.commit([len(steps[ACTION])], seeds, may_repeat=True)
        left = f"not carried over: {short} episodes of fewer than {min_steps} steps"
        return ImportReport(
            path=destination,
            format="python",
            n_episodes=buffer.n_episodes,
            n_steps=buffer.n_steps,
            keys=tuple(buffer.keys),
            notes=(*[left][: short > 0], *_remarks(buffer)),
        )


def _remarks(buffer: ReplayBuffer) -> list[str]:
    if not buffer.n_episodes:
        return []
    return [*unstated(buffer.attrs), *outside_limits(buffer)]


def _steps(where: str, episode: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], int | None]:
    """Return the rows of an episode and its seed."""
    arrays = arrays_of(where, episode)
    seed = arrays.pop(SEED, None)
    if ACTION not in arrays or not arrays[ACTION].shape:
        raise DatasetError(f"{where} needs the key 'action' [T, Da]; it has {sorted(arrays)}")
    refuse_objects(where, list(arrays.values()))
    length = arrays[ACTION].shape[0]
    steps: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.shape[:1] not in ((length,), (length + 1,)):
            raise DatasetError(
                f"{where}: {array.text()} does not fit its {length} actions; leave it out"
            )
        rows = array.rows(0, length)
        steps[name.replace("/", "_")] = rows[:, None] if rows.ndim == 1 else rows
    return steps, None if seed is None else _seed(where, seed.rows(0, 1))


def _seed(where: str, value: NDArray[Any]) -> int:
    if value.size != 1 or value.dtype.kind not in "iu" or np.any(value < 0):
        raise DatasetError(f"{where}: the seed {value.tolist()} is no whole number of at least 0")
    return int(value.reshape(-1)[0])

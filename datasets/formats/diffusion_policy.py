"""Import of Diffusion Policy's replay buffer: zarr 2, a directory or a .zip.

Format (Chi et al. 2023, arXiv:2303.04137, reference code): `data/<key>` [N, ...] and
`meta/episode_ends` [n_episodes]. It says nothing of the control rate, of the actions' meaning,
units and limits, nor of the environment, so these are arguments.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError, nearest
from ..keys import ACTION
from ..storage import ReplayBuffer
from ..storage.directory import cannot_write, lock_directory, publish, refuse_existing
from .zarr2_source import Source, open_source

FORMAT = "diffusion_policy"
BLOCK_BYTES = 64 << 20

Progress = Callable[[int, int], None]
#: New key -> (copied key, first column, column after the last).
Columns = Mapping[str, tuple[str, int, int]]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The new data set.
        n_episodes: Episodes carried over: all of them.
        n_steps: Steps carried over: all of them.
        keys: Keys carried over, sorted.
        notes: One line for each thing that was not carried over, or deserves a look.
    """

    path: Path
    n_episodes: int
    n_steps: int
    keys: tuple[str, ...]
    notes: tuple[str, ...]


def import_diffusion_policy(
    source: str | Path,
    destination: str | Path,
    *,
    control_rate_hz: float | None = None,
    action_meaning: str | None = None,
    action_units: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
    env_id: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    keys: Sequence[str] | None = None,
    derived: Mapping[str, tuple[str, int, int]] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Copy a Diffusion Policy replay buffer, every key and bit, into a data set of ours.

    The copy streams in blocks and gets its name only when it is complete: an import that is
    killed leaves nothing under `destination` (an old data set there stays until the end).

    Args:
        source: The zarr 2 directory or .zip.
        destination: Directory to make.
        control_rate_hz: Steps a second.
        action_meaning: "absolute" or "relative".
        action_units: For example "pixel" or "m, rad".
        action_low: [Da], lower limits.
        action_high: [Da], upper limits.
        env_id: Environment the data were recorded in.
        env_kwargs: Its arguments.
        keys: What to copy, every key if None; the action always.
        derived: Keys to add, each the columns [first, stop) of a copied one: {"agent_pos":
            ("state", 0, 2)} names a part of a state vector.
        overwrite: Replace a data set at `destination`.
        progress: Called with (bytes copied, all bytes) after every block.

    Raises:
        DatasetError: The source cannot be read or carried over, the destination is taken, or the
            disk refuses.
    """
    source, destination = Path(source), Path(destination)
    refuse_existing(destination, overwrite=overwrite)
    action = {
        "meaning": action_meaning,
        "units": action_units,
        "low": action_low,
        "high": action_high,
    }
    with open_source(source, keys) as opened:
        attributes = {
            "control_rate_hz": control_rate_hz,
            "action": action,
            "env_id": env_id,
            "env_kwargs": env_kwargs,
            "source": {
                "format": FORMAT,
                "name": source.name,
                "attributes": opened.attributes,
            },
        }
        _check_limits_fit(opened, action)
        columns = _checked_columns(opened, derived or {})
        # A fixed name, so that the next import removes what a killed one left.
        temporary = destination.with_name(f".{destination.name}.importing")
        with _claimed(temporary):
            with ReplayBuffer.create(temporary, attributes) as buffer:
                _copy(opened, columns, buffer, destination, progress)
                outside = _outside_limits(buffer, action)
            publish(temporary, destination)
        return ImportReport(
            path=destination,
            n_episodes=len(opened.episode_ends),
            n_steps=opened.n_steps,
            keys=tuple(sorted((*opened.arrays, *columns))),
            notes=(*opened.notes, *_unstated(attributes), *outside),
        )


@contextmanager
def _claimed(temporary: Path) -> Iterator[None]:
    """Clear what a killed import left, and leave nothing behind when this one fails."""
    if temporary.exists():
        # The writer lock tells a killed import from one that still runs.
        os.close(lock_directory(temporary))
        shutil.rmtree(temporary)
    try:
        yield
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _checked_columns(source: Source, derived: Mapping[str, tuple[str, int, int]]) -> Columns:
    columns = {
        name: (str(key), int(first), int(stop)) for name, (key, first, stop) in derived.items()
    }
    for name, (key, first, stop) in columns.items():
        if key not in source.arrays:
            raise DatasetError(
                f"cannot derive {name!r}: no key {key!r}{nearest(key, source.arrays)}"
            )
        shape = source.arrays[key].shape[1:]
        if name in source.arrays or len(shape) != 1 or not 0 <= first < stop <= shape[0]:
            raise DatasetError(
                f"cannot derive {name!r} from columns [{first}, {stop}) of {key!r} with shape "
                f"{shape} per step; give a new name and columns that exist"
            )
    return columns


def _copy(
    source: Source,
    columns: Columns,
    buffer: ReplayBuffer,
    destination: Path,
    progress: Progress | None,
) -> None:
    arrays = source.arrays
    row_bytes = sum(array.dtype.itemsize * math.prod(array.shape[1:]) for array in arrays.values())
    # Whole chunks of the source, so that none is decoded twice.
    longest = max(array.chunks[0] for array in arrays.values())
    rows = max(longest, BLOCK_BYTES // row_bytes // longest * longest)
    try:
        for start in range(0, source.n_steps, rows):
            stop = min(start + rows, source.n_steps)
            steps = {key: source.read(key, start, stop) for key in arrays}
            parts = {name: steps[key][:, a:b] for name, (key, a, b) in columns.items()}
            buffer.append_steps({**steps, **parts})
            if progress is not None:
                progress(stop * row_bytes, source.n_steps * row_bytes)
        buffer.commit(np.diff(source.episode_ends, prepend=0).tolist())
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            refused = cannot_write(destination, error.__cause__)
            raise DatasetError(f"{refused} and import again; nothing was imported") from error
        raise


def _unstated(attributes: Mapping[str, Any]) -> list[str]:
    """Return a note for what the format cannot say and the caller did not."""
    action = attributes["action"]
    named = {
        "control rate": attributes["control_rate_hz"],
        "environment": attributes["env_id"],
        "action meaning": action["meaning"],
        "action limits": action["low"] if action["low"] is not None else action["high"],
    }
    missing = [name for name, value in named.items() if value is None]
    return [f"the format does not state, and nobody gave: {', '.join(missing)}"] if missing else []


def _check_limits_fit(source: Source, action: Mapping[str, Any]) -> None:
    shape = tuple(source.arrays[ACTION].shape[1:])
    for name in ("low", "high"):
        if action[name] is not None and (len(action[name]),) != shape:
            raise DatasetError(
                f"action_{name} has {len(action[name])} numbers, an action has shape {shape}; "
                "give one per dimension"
            )


def _outside_limits(buffer: ReplayBuffer, action: Mapping[str, Any]) -> list[str]:
    """Return a note when actions leave the limits they are said to keep."""
    lower = -np.inf if action["low"] is None else np.asarray(action["low"])
    upper = np.inf if action["high"] is None else np.asarray(action["high"])
    outside = sum(
        int(((rows < lower) | (rows > upper)).any(axis=-1).sum())
        for _, rows in buffer.blocks(ACTION)
    )
    return [f"{outside} of {buffer.n_steps} actions lie outside the given limits"] * bool(outside)

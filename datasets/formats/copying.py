"""Bring a foreign data set over: whatever the format, whole episodes, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError, whole_number
from ..keys import ACTION
from ..storage import ReplayBuffer, replacing
from ..storage.directory import cannot_write
from .derived import Columns, checked_columns, parts
from .importer import AUTO, Block, ForeignData, Keys, find_importer
from .opening import opened
from .selection import rows_of
from .stating import action_given, attributes_of, check_limits_fit, outside_limits, unstated

BLOCK_BYTES = 64 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The new data set.
        format: The name of the source's format.
        n_episodes: Episodes carried over.
        n_steps: Steps carried over.
        keys: Keys carried over, sorted.
        notes: One line for each thing that was not carried over, or deserves a look.
        mapped: {key: the source's name}, for those that have another name there.
        converted: One line for each key whose numbers were changed on the way.
    """

    path: Path
    format: str
    n_episodes: int
    n_steps: int
    keys: tuple[str, ...]
    notes: tuple[str, ...]
    mapped: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()


def import_data(
    source: str | Path,
    destination: str | Path,
    *,
    format: str = AUTO,
    control_rate_hz: float | None = None,
    action_meaning: str | None = None,
    action_frame: str | None = None,
    action_rotation: str | None = None,
    action_gripper: str | None = None,
    action_units: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
    env_id: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    keys: Keys = None,
    subset: str | None = None,
    min_steps: int = 1,
    derived: Mapping[str, Sequence[Any]] | None = None,
    allow_missing: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Copy a foreign data set into a data set of ours.

    The copy streams in blocks and gets its name only when it is complete: an import that is
    killed leaves nothing under `destination` (an old data set there stays until the end).

    Args:
        source: Where the foreign data lie.
        destination: Directory to make.
        format: The name of the source's format; "auto" recognises it.
        control_rate_hz: Steps a second; as the format says if None. So are the others below.
        action_meaning: "absolute" or "relative".
        action_frame: See `storage.attributes.ACTION_FRAMES`.
        action_rotation: See `storage.attributes.ACTION_ROTATIONS`.
        action_gripper: See `storage.attributes.ACTION_GRIPPERS`.
        action_units: For example "pixel" or "m, rad".
        action_low: [Da], lower limits.
        action_high: [Da], upper limits.
        env_id: Environment the data were recorded in.
        env_kwargs: Its arguments.
        keys: What to copy, all that the format takes for keys if None; the action always. A map
            {our name: the source's} also tells which array is which; see `rules.names.ROLES`.
        subset: A part that the source names, such as robomimic's filter key "train".
        min_steps: Leave out episodes of fewer steps.
        derived: Keys to add, each the columns [first, stop) of a copied one: {"agent_pos":
            ("state", 0, 2)} names a part of a state vector.
        allow_missing: Fill what is absent from the source as its format says, rather than refuse.
        overwrite: Replace a data set at `destination`.
        resume: Go on where an import that was killed stopped; the source must be the same.
        progress: Called with (bytes copied, all bytes) after every block.

    Raises:
        DatasetError: The source cannot be read or carried over, the destination is taken, or the
            disk refuses.
    """
    source = Path(source)
    destination = Path(destination)
    whole_number("min_steps", min_steps, 1)
    importer = find_importer(source, format)
    given = {
        "control_rate_hz": control_rate_hz,
        "env_id": env_id,
        "env_kwargs": env_kwargs,
        "action": action_given(
            meaning=action_meaning,
            frame=action_frame,
            rotation=action_rotation,
            gripper=action_gripper,
            units=action_units,
            low=action_low,
            high=action_high,
        ),
    }
    choices = {"keys": keys, "subset": subset, "min_steps": min_steps, "derived": derived}

    with opened(
        importer, source, keys, allow_missing=allow_missing, min_steps=min_steps, part=subset
    ) as data:
        attributes = attributes_of(importer.name, source, data, given, choices)
        columns = checked_columns(data, derived or {})
        with replacing(destination, attributes, overwrite=overwrite, resume=resume) as buffer:
            check_limits_fit(data, buffer.attrs["action"])
            _copy(data, columns, buffer, destination, progress)
            notes = (*data.notes, *unstated(buffer.attrs), *outside_limits(buffer))

    return ImportReport(
        path=destination,
        format=importer.name,
        n_episodes=len(data.episode_ends),
        n_steps=data.n_steps,
        keys=tuple(sorted((*data.shapes, *columns))),
        notes=notes,
        mapped=dict(data.mapped),
        converted=data.converted,
    )


def row_bytes(data: ForeignData) -> int:
    """Return what one step of all keys takes."""
    return sum(data.dtypes[key].itemsize * math.prod(shape) for key, shape in data.shapes.items())


def _copy(
    data: ForeignData,
    columns: Columns,
    buffer: ReplayBuffer,
    destination: Path,
    progress: Progress | None,
) -> None:
    """Append the episodes that the buffer lacks, whole ones at the end of every block."""
    size = row_bytes(data)
    missing = np.arange(buffer.n_episodes, len(data.episode_ends))
    done = buffer.n_steps
    try:
        for block in rows_of(data, max(1, BLOCK_BYTES // size), missing):
            _append(data, {**block, **parts(block, columns)}, buffer, done)
            done += len(block[ACTION])
            if progress is not None:
                progress(done * size, data.n_steps * size)
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            refused = cannot_write(destination, error.__cause__)
            raise DatasetError(f"{refused} and import again; nothing was imported") from error
        raise
    if done != data.n_steps:
        raise DatasetError(f"{destination}: the source gave {done} of {data.n_steps} steps")


def _append(data: ForeignData, block: Block, buffer: ReplayBuffer, done: int) -> None:
    """Append rows of which `done` came before, and commit the episodes that end among them."""
    known = buffer.n_episodes
    ended = int(np.searchsorted(data.episode_ends, done + len(block[ACTION]), side="right"))
    cut = int(data.episode_ends[ended - 1]) - done if ended > known else 0
    if cut:
        buffer.append_steps({key: rows[:cut] for key, rows in block.items()})
        lengths = np.diff(data.episode_ends[:ended], prepend=0)[known:].tolist()
        seeds = None if data.seeds is None else data.seeds[known:ended].tolist()
        buffer.commit(lengths, seeds, may_repeat=True)
    if cut < len(block[ACTION]):
        buffer.append_steps({key: rows[cut:] for key, rows in block.items()})

"""Bring a foreign data set over: whatever the format, every key and bit, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError, nearest
from ..keys import ACTION
from ..storage import ReplayBuffer, replacing
from ..storage.directory import cannot_write
from .importer import AUTO, Block, ForeignData, Importer, Keys, find_importer, maps_keys
from .selection import renamed, without_short

BLOCK_BYTES = 64 << 20

Progress = Callable[[int, int], None]
#: New key -> (copied key, first column, column after the last).
Columns = Mapping[str, tuple[str, int, int]]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        path: The new data set.
        format: The name of the source's format.
        n_episodes: Episodes carried over: all of them.
        n_steps: Steps carried over: all of them.
        keys: Keys carried over, sorted.
        notes: One line for each thing that was not carried over, or deserves a look.
    """

    path: Path
    format: str
    n_episodes: int
    n_steps: int
    keys: tuple[str, ...]
    notes: tuple[str, ...]


def import_data(
    source: str | Path,
    destination: str | Path,
    *,
    format: str = AUTO,
    control_rate_hz: float | None = None,
    action_meaning: str | None = None,
    action_units: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
    env_id: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    keys: Keys = None,
    min_steps: int = 1,
    derived: Mapping[str, Sequence[Any]] | None = None,
    allow_missing: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Copy a foreign data set, every key and bit, into a data set of ours.

    The copy streams in blocks and gets its name only when it is complete: an import that is
    killed leaves nothing under `destination` (an old data set there stays until the end).

    Args:
        source: Where the foreign data lie.
        destination: Directory to make.
        format: The name of the source's format; "auto" recognises it.
        control_rate_hz: Steps a second; as the format says if None. So are the others below.
        action_meaning: "absolute" or "relative".
        action_units: For example "pixel" or "m, rad".
        action_low: [Da], lower limits.
        action_high: [Da], upper limits.
        env_id: Environment the data were recorded in.
        env_kwargs: Its arguments.
        keys: What to copy, every key if None; the action always. A map {our name: the source's}
            also says which array is which; see `plain.names.ROLES`.
        min_steps: Leave out episodes of fewer steps.
        derived: Keys to add, each the columns [first, stop) of a copied one: {"agent_pos":
            ("state", 0, 2)} names a part of a state vector.
        allow_missing: Fill what is absent from the source as its format says, rather than refuse.
        overwrite: Replace a data set at `destination`.
        progress: Called with (bytes copied, all bytes) after every block.

    Raises:
        DatasetError: The source cannot be read or carried over, the destination is taken, or the
            disk refuses.
    """
    source = Path(source)
    destination = Path(destination)
    importer = find_importer(source, format)
    given = {
        "control_rate_hz": control_rate_hz,
        "env_id": env_id,
        "env_kwargs": env_kwargs,
        "action": _without_none(
            {
                "meaning": action_meaning,
                "units": action_units,
                "low": action_low,
                "high": action_high,
            }
        ),
    }

    with opened(importer, source, keys, allow_missing=allow_missing) as data:
        data = without_short(data, min_steps, source)
        attributes = _attributes(importer.name, source, data, given)
        columns = _checked_columns(data, derived or {})
        with replacing(destination, attributes, overwrite=overwrite) as buffer:
            _check_limits_fit(data, buffer.attrs["action"])
            _copy(data, columns, buffer, destination, progress)
            outside = _outside_limits(buffer)
            unstated = _unstated(buffer.attrs)

    return ImportReport(
        path=destination,
        format=importer.name,
        n_episodes=len(data.episode_ends),
        n_steps=data.n_steps,
        keys=tuple(sorted((*data.shapes, *columns))),
        notes=(*data.notes, *unstated, *outside),
    )


@contextmanager
def opened(
    importer: Importer, source: Path, keys: Keys, *, allow_missing: bool
) -> Iterator[ForeignData]:
    """Open a source, with the names for its keys that a map of them gives."""
    if not isinstance(keys, Mapping) or maps_keys(importer):
        with importer.open(source, keys, allow_missing=allow_missing) as data:  # type: ignore[arg-type]
            yield data
        return
    with importer.open(source, list(keys.values()), allow_missing=allow_missing) as data:
        yield renamed(data, keys)


def _attributes(
    name: str, source: Path, data: ForeignData, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the format states, with what the caller gave in its place."""
    action = {**data.stated.get("action", {}), **given["action"]}
    origin = {"format": name, "name": source.name, "attributes": dict(data.kept)}
    return {**data.stated, **_without_none(given), "action": action, "source": origin}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _checked_columns(data: ForeignData, derived: Mapping[str, Sequence[Any]]) -> Columns:
    columns: dict[str, tuple[str, int, int]] = {}
    for name, part in derived.items():
        try:
            key, first, stop = part
            columns[name] = (str(key), int(first), int(stop))
        except (TypeError, ValueError) as error:
            raise DatasetError(
                f"cannot derive {name!r} from {part!r}; give [key, first column, column after "
                "the last]"
            ) from error

    for name, (key, first, stop) in columns.items():
        if key not in data.shapes:
            raise DatasetError(f"cannot derive {name!r}: no key {key!r}{nearest(key, data.shapes)}")
        shape = data.shapes[key]
        if name in data.shapes or len(shape) != 1 or not 0 <= first < stop <= shape[0]:
            raise DatasetError(
                f"cannot derive {name!r} from columns [{first}, {stop}) of {key!r} with shape "
                f"{shape} per step; give a new name and columns that exist"
            )
    return columns


def _copy(
    data: ForeignData,
    columns: Columns,
    buffer: ReplayBuffer,
    destination: Path,
    progress: Progress | None,
) -> None:
    row_bytes = sum(
        data.dtypes[key].itemsize * math.prod(shape) for key, shape in data.shapes.items()
    )
    done = 0
    try:
        for block in data.blocks(max(1, BLOCK_BYTES // row_bytes)):
            buffer.append_steps({**block, **_parts(block, columns)})
            done += len(block[ACTION])
            if progress is not None:
                progress(done * row_bytes, data.n_steps * row_bytes)
        seeds = None if data.seeds is None else data.seeds.tolist()
        buffer.commit(np.diff(data.episode_ends, prepend=0).tolist(), seeds, may_repeat=True)
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            refused = cannot_write(destination, error.__cause__)
            raise DatasetError(f"{refused} and import again; nothing was imported") from error
        raise


def _parts(block: Block, columns: Columns) -> Block:
    return {name: block[key][:, first:stop] for name, (key, first, stop) in columns.items()}


def _check_limits_fit(data: ForeignData, action: Mapping[str, Any]) -> None:
    shape = data.shapes[ACTION]
    for name in ("low", "high"):
        if action[name] is not None and (len(action[name]),) != shape:
            raise DatasetError(
                f"action_{name} has {len(action[name])} numbers, an action has shape {shape}; "
                "give one per dimension"
            )


def _unstated(attributes: Mapping[str, Any]) -> list[str]:
    """Return a note for what the format does not say and the caller did not."""
    action = attributes["action"]
    named = {
        "control rate": attributes["control_rate_hz"],
        "environment": attributes["env_id"],
        "action meaning": action["meaning"],
        "action limits": action["low"] if action["low"] is not None else action["high"],
    }
    missing = [name for name, value in named.items() if value is None]
    return [f"the format does not state, and nobody gave: {', '.join(missing)}"] if missing else []


def _outside_limits(buffer: ReplayBuffer) -> list[str]:
    """Return a note when actions leave the limits they are said to keep."""
    action = buffer.attrs["action"]
    lower = -np.inf if action["low"] is None else np.asarray(action["low"])
    upper = np.inf if action["high"] is None else np.asarray(action["high"])
    outside = sum(
        int(((rows < lower) | (rows > upper)).any(axis=-1).sum())
        for _, rows in buffer.blocks(ACTION)
    )
    if outside:
        return [f"{outside} of {buffer.n_steps} actions lie outside the given limits"]
    return []

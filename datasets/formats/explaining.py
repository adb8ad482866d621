"""Say what a source holds and what an import would make of it, without writing anything."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..keys import ACTION
from .copying import row_bytes
from .importer import AUTO, ForeignData, Found, Keys, find_importer
from .opening import opened
from .rules.roles import UnclearError
from .selection import rows_of
from .stating import action_given, unknown

LOOKED_AT_BYTES = 8 << 20
SHOWN = 60


def explain(
    source: str | Path,
    destination: str | Path = "OUT",
    *,
    format: str = AUTO,
    keys: Keys = None,
    subset: str | None = None,
    min_steps: int = 1,
    allow_missing: bool = False,
    **settings: Any,
) -> list[str]:
    """Return the lines that tell what a source holds, and the command that imports it.

    Args:
        source: Where the foreign data lie.
        destination: What the command names as the new data set.
        format: See `copying.import_data`; so are the others, and `settings` takes its rest.
        keys: See there.
        subset: See there.
        min_steps: See there.
        allow_missing: See there.
        settings: What the user states already.

    Raises:
        DatasetError: The source cannot be read.
    """
    source = Path(source)
    importer = find_importer(source, format)
    lines = [f"{source}: format {importer.name} ({importer.takes})"]
    command = ["kinoise", "import", str(source), str(destination)]
    try:
        with opened(
            importer, source, keys, allow_missing=allow_missing, min_steps=min_steps, part=subset
        ) as data:
            missing = unknown(_attributes(data, settings))
            lines += [*_found(data.found or _found_keys(data)), *_contents(data)]
    except UnclearError as error:
        fault = str(error).partition(": ")[2]
        return [
            *lines,
            *_found(error.found),
            f"unclear: {fault}",
            _command([*command, error.setting]),
        ]

    said = [text for name, value in settings.items() if (text := _said(name, value))]
    said += [] if keys is None else [f"keys={_yaml(keys)}"]
    said += [] if subset is None else [f"subset={subset}"]
    lines += [f"unknown: {name}; state it with {setting}" for name, setting in missing.items()]
    return [*lines, _command([*command, *said])]


def _command(words: Sequence[str]) -> str:
    return f"command: {' '.join(shlex.quote(word) for word in words)}"


def _said(name: str, value: Any) -> str:
    """Return a setting as it is typed, "" for one that says nothing."""
    if value is None or value is False or value == {}:
        return ""
    return f"{name}={_yaml(value)}"


def _yaml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(each) for each in value) + "]"
    return "true" if value is True else str(value)


def _attributes(data: ForeignData, settings: Mapping[str, Any]) -> dict[str, Any]:
    prefix = "action_"
    action = {n.removeprefix(prefix): v for n, v in settings.items() if n.startswith(prefix)}
    stated = data.stated.get("action") or {}
    facts = {name: settings.get(name) for name in ("control_rate_hz", "env_id")}
    given = {name: value for name, value in facts.items() if value is not None}
    return {**data.stated, **given, "action": {**stated, **action_given(**action)}}


def _found_keys(data: ForeignData) -> tuple[Found, ...]:
    return tuple(
        Found(
            data.mapped.get(key, key), (data.n_steps, *shape), str(data.dtypes[key]), f"key {key!r}"
        )
        for key, shape in sorted(data.shapes.items())
    )


def _found(found: Sequence[Found]) -> list[str]:
    """Return a table of the arrays of a source."""
    rows = [(each.name, f"{list(each.shape)} {each.dtype}", each.role) for each in found[:SHOWN]]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"  {n:<{widths[0]}}  {s:<{widths[1]}}  {role}" for n, s, role in rows]
    return [*lines, *([f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])]


def _contents(data: ForeignData) -> list[str]:
    lengths = np.diff(data.episode_ends, prepend=0)
    rate = data.stated.get("control_rate_hz")
    lines = [
        f"{len(lengths)} episodes of {lengths.min()} to {lengths.max()} steps (median "
        f"{np.median(lengths):g}), {data.n_steps} steps"
        + (f", {rate:g} Hz" if rate is not None else ""),
        *_ranges(data),
        *(f"converted: {line}" for line in data.converted),
        *(f"note: {line}" for line in data.notes),
    ]
    stated = {name: v for name, v in (data.stated.get("action") or {}).items() if v is not None}
    return [*lines, *([f"action as stated: {_yaml(stated)}"] if stated else [])]


def _ranges(data: ForeignData) -> list[str]:
    """Return the range of each key over the first episodes."""
    n_rows = max(1, LOOKED_AT_BYTES // row_bytes(data))
    block = next(iter(rows_of(data, n_rows, np.arange(len(data.episode_ends)))))
    looked = {key: rows[:n_rows] for key, rows in sorted(block.items())}
    n_seen = len(looked[ACTION])
    seen = "all" if n_seen == data.n_steps else f"the first {n_seen}"
    return [
        f"range of {key} over {seen} steps: {values.min():.4g} to {values.max():.4g}"
        for key, values in looked.items()
    ]

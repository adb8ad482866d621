"""CSV: a folder of a file an episode, or one file with a column that tells the episode.

Columns that belong together become one key: `action_0, action_1`, `action.x, action.y`,
`action[0], action[1]` are the action.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, nearest
from ..importer import ForeignData, Keys
from ..rules.arrays import WHOLE_BYTES, SourceArray
from ..rules.episodes import from_episodes
from ..rules.flat import open_flat
from ..rules.guessing import check_map, plan_episode
from ..rules.names import ACTION_NAMES, MARKS, OBS_NAMES, SEED_NAMES
from .folders import files_of, is_folder_of
from .nested import memory_array

ENDINGS = (".csv", ".tsv")
HEADER_BYTES = 1 << 20
TRUTHS = {"true": 1.0, "false": 0.0}
WHOLE = frozenset((*SEED_NAMES, *(name for names in MARKS.values() for name in names)))
NUMBERED = re.compile(r"(.+?)[_.\s]?\[?(\d{1,6})\]?")
PREFIXED = re.compile(rf"({'|'.join((*ACTION_NAMES, *OBS_NAMES, 'state'))})[_.:/]\w+")


class CsvImporter:
    """Reads tables of numbers."""

    name = "csv"
    takes = "a folder of a .csv an episode, or a .csv with a column called episode"
    is_fallback = True
    maps_keys = True
    joins_columns = True

    def recognises(self, path: Path) -> bool:
        """Say whether it is called so, or is a folder of such files."""
        named = path.suffix.lower() in ENDINGS and path.is_file()
        return named or is_folder_of(path, *ENDINGS)

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a source; see `Importer.open`. Nothing can be missing from one."""
        files = files_of(path, *ENDINGS) if path.is_dir() else [path]
        groups, names = _joined(keys)
        first, texts = _read(files[0], groups)
        notes = tuple(f"not carried over: column {name!r} holds text" for name in texts)

        if len(files) == 1 and (not path.is_dir() or _has_marks(first, names)):
            data = open_flat(path, first, names)
        else:
            check_map(path, names)

            def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
                return nullcontext(_read(files[index], groups)[0])

            plan = plan_episode(path, first, names)
            data = from_episodes(path, [file.name for file in files], episode, plan)
        yield replace(data, notes=(*data.notes, *notes))


IMPORTER = CsvImporter()


def _joined(keys: Any) -> tuple[dict[str, list[str]], Keys]:
    """Return the columns that `keys={action: [vx, vy]}` joins, and the keys with one name each."""
    if not isinstance(keys, Mapping):
        return {}, keys
    groups = {",".join(value): list(value) for value in keys.values() if not isinstance(value, str)}
    return groups, {k: v if isinstance(v, str) else ",".join(v) for k, v in keys.items()}


def _has_marks(arrays: Mapping[str, SourceArray], keys: Keys) -> bool:
    named = any(array.leaf in MARKS["episode_index"] for array in arrays.values())
    return named or (isinstance(keys, Mapping) and any(role in MARKS for role in keys))


def _read(
    path: Path, groups: Mapping[str, Sequence[str]]
) -> tuple[dict[str, SourceArray], list[str]]:
    """Return the columns of a file, joined to arrays, and the names of those that hold text."""
    if path.stat().st_size > WHOLE_BYTES:
        raise DatasetError(
            f"{path} holds {path.stat().st_size >> 20} MiB; split it into a file an episode, or "
            "write it as NPZ or HDF5"
        )
    header, delimiter, sample = _header(path)
    episode = next((n for n in header if n.lower() in MARKS["episode_index"]), None)
    numbers = [n for n, cell in zip(header, sample, strict=True) if _is_number(cell)]
    columns = [n for n in header if n in numbers or n == episode]
    table = _table(path, header, columns, delimiter, episode if episode not in numbers else None)

    values = {name: table[:, place] for place, name in enumerate(columns)}
    arrays = {}
    for name, members in _group(path, columns, groups).items():
        joined = (
            values[members[0]]
            if members == [name]
            else np.stack([values[each] for each in members], axis=1)
        )
        arrays[name] = memory_array(name, _marks_whole(name, joined))
    return arrays, [name for name in header if name not in columns]


def _header(path: Path) -> tuple[list[str], str, list[str]]:
    """Return the names of the columns, what separates them, and the first row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(HEADER_BYTES)
            second = file.readline(HEADER_BYTES)
    except (OSError, UnicodeError) as error:
        raise DatasetError(f"{path} cannot be read as text ({error}); save it as UTF-8") from error
    delimiter = max(",;\t", key=first.count)
    try:
        names, cells = list(csv.reader([first, second], delimiter=delimiter))
    except (csv.Error, ValueError) as error:
        raise DatasetError(f"{path} holds no header and a row of numbers below it") from error
    names = [name.strip() for name in names]
    if len(set(names)) != len(names) or not all(names) or all(map(_is_number, names)):
        raise DatasetError(f"{path}: its first line must name every column, each once; add one")
    if len(cells) != len(names):
        raise DatasetError(f"{path}: line 2 has {len(cells)} cells, the header {len(names)}")
    return names, delimiter, cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in TRUTHS
    return True


def _table(
    path: Path, header: Sequence[str], columns: Sequence[str], delimiter: str, labels: str | None
) -> NDArray[np.float64]:
    """Return the rows [N, columns]; the words of the column `labels` become numbers."""
    seen: dict[str, float] = {}

    def number(cell: str) -> float:
        truth = TRUTHS.get(cell.strip().lower())
        return float(cell) if truth is None else truth

    def label(cell: str) -> float:
        return seen.setdefault(cell, float(len(seen)))

    places = [header.index(name) for name in columns]
    try:
        return np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=1,
            usecols=places,
            ndmin=2,
            encoding="utf-8-sig",
            quotechar='"',
            comments=None,
            converters={
                place: label if name == labels else number
                for place, name in zip(places, columns, strict=True)
            },
        )
    except (ValueError, OSError, UnicodeError, IndexError, StopIteration) as error:
        raise DatasetError(f"{path}: {' '.join(str(error).split())[:200]}; repair it") from error


def _group(
    path: Path, columns: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return which columns make which array, by `keys=` first and by their names then."""
    joined = {name: list(members) for name, members in groups.items()}
    taken = {member for members in joined.values() for member in members}
    for member in taken:
        if member not in columns:
            raise DatasetError(
                f"{path} has no column of numbers {member!r}{nearest(member, columns)}"
            )
    for name in columns:
        if name in taken:
            continue
        found = PREFIXED.fullmatch(name.lower()) or NUMBERED.fullmatch(name)
        group = name[: len(found[1])] if found else name
        joined.setdefault(group if group not in columns else name, []).append(name)
    return joined


def _marks_whole(name: str, values: NDArray[np.float64]) -> NDArray[Any]:
    """Return an index, flag or seed as whole numbers, everything else as it is."""
    if name.lower() not in WHOLE or not np.isfinite(values).all():
        return values
    whole = (values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**53
    return values.astype(np.int64) if whole else values

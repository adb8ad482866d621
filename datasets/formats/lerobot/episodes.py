"""Which rows and which parts of which files make an episode; one reader a version."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError, whole_number
from .description import MOST_STEPS, Description
from .features import Feature
from .guard import reading
from .places import fill, locate, require
from .tables import batches, open_table, schema_of

EPISODES = "meta/episodes.jsonl"
EPISODES_FOLDER = "meta/episodes"
TASKS = {2: "meta/tasks.jsonl", 3: "meta/tasks.parquet"}
LONGEST_LINE = 1 << 22
MOST_TASKS = 1 << 16
LONGEST_TASK = 1 << 12
EPISODES_AT_ONCE = 256


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        length: Its rows.
        data: The parquet file that holds them, relative to the data set.
        clips: {feature: (mp4 file, when the episode begins there)}.
        tasks: What it shows, in words.
    """

    length: int
    data: str
    clips: dict[str, tuple[str, float]] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()


def read_episodes(about: Description, cameras: Sequence[Feature]) -> list[Episode]:
    """Return every episode in order.

    Raises:
        DatasetError: The tables are absent or damaged, or do not fit `info.json`.
    """
    reader = {2: _read_lines, 3: _read_tables}[about.major]
    episodes: list[Episode] = []
    for episode in reader(about, cameras):
        episodes.append(episode)
        if len(episodes) > about.n_episodes:
            break

    n_steps = sum(episode.length for episode in episodes)
    if (len(episodes), n_steps) != (about.n_episodes, about.n_steps):
        raise DatasetError(
            f"{about.root}: meta/info.json counts {about.n_episodes} episodes of "
            f"{about.n_steps} steps, meta/episodes {len(episodes)} of {n_steps}; copy or "
            "download the data set again"
        )
    return episodes


def data_files(episodes: Sequence[Episode]) -> list[tuple[str, int]]:
    """Return the parquet files in order, each with the rows that its episodes have together."""
    return [
        (name, sum(episode.length for episode in group))
        for name, group in groupby(episodes, key=lambda episode: episode.data)
    ]


def read_tasks(about: Description) -> list[str] | None:
    """Return what the data set shows, in words; None where it does not say.

    Raises:
        DatasetError: The list is damaged.
    """
    path = locate(about.root, TASKS[about.major])
    if path is None:
        return None
    tasks = [entry.get("task") for entry in _lines(path)] if about.major == 2 else _words(path)
    if len(tasks) > MOST_TASKS or not all(
        isinstance(task, str) and len(task) <= LONGEST_TASK for task in tasks
    ):
        raise DatasetError(f"{path} is no list of tasks; repair it")
    return [str(task) for task in tasks]


def _words(path: Path) -> list[Any]:
    """Return the one column of words: the index of the pandas table that LeRobot writes."""
    with open_table(path) as table:
        names = [name for name, kind in schema_of(path, table).items() if "string" in str(kind)]
        if len(names) != 1 or table.metadata.num_rows > MOST_TASKS:
            raise DatasetError(f"{path} is no list of tasks; repair it")
        found: list[Any] = []
        for batch in batches(path, table, names, EPISODES_AT_ONCE):
            with reading(path):
                found += batch[names[0]].to_pylist()
        return found


def _read_lines(about: Description, cameras: Sequence[Feature]) -> Iterator[Episode]:
    """Version 2: a line of JSON an episode, and files of its own for each."""
    path = require(about.root, EPISODES)
    for index, entry in enumerate(_lines(path)):
        _check_index(path, entry.get("episode_index"), index)
        place: dict[str, int | str] = {
            "episode_chunk": index // about.chunk,
            "episode_index": index,
        }
        yield Episode(
            length=_length(path, index, entry.get("length")),
            data=fill(about.data_path, place),
            clips={
                camera.name: (fill(about.video_path, {**place, "video_key": camera.name}), 0.0)
                for camera in cameras
            },
            tasks=_tasks(entry.get("tasks")),
        )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file with one line of JSON each."""
    with path.open("rb") as file:
        while True:
            with reading(path):
                line = file.readline(LONGEST_LINE)
                entry = json.loads(line) if line.strip() else None
            if not line:
                return
            if entry is None:
                continue
            if not isinstance(entry, dict):
                raise DatasetError(f"{path} holds a line that is no JSON object; repair it")
            yield entry


def _read_tables(about: Description, cameras: Sequence[Feature]) -> Iterator[Episode]:
    """Version 3: a row of parquet an episode; many of them share a file."""
    columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    for camera in cameras:
        columns += [f"videos/{camera.name}/{part}" for part in CLIP_PARTS]

    index = 0
    for path in _episode_files(about.root):
        with open_table(path) as table:
            found = schema_of(path, table)
            for column in columns:
                if column not in found:
                    raise DatasetError(f"{path} has no column {column!r}; write it anew")
            for batch in batches(path, table, columns, EPISODES_AT_ONCE):
                with reading(path):
                    rows = {name: array.to_pylist() for name, array in batch.items()}
                for row in zip(*rows.values(), strict=True):
                    entry = dict(zip(rows, row, strict=True))
                    yield _episode(about, path, cameras, index, entry)
                    index += 1


CLIP_PARTS = ("chunk_index", "file_index", "from_timestamp")


def _episode_files(root: Path) -> list[Path]:
    folder = root / EPISODES_FOLDER
    names = sorted(path.relative_to(root).as_posix() for path in folder.glob("chunk-*/*.parquet"))
    if not names:
        raise DatasetError(f"{folder} holds no parquet file; copy or download the data set again")
    return [require(root, name) for name in names]


def _episode(
    about: Description, path: Path, cameras: Sequence[Feature], index: int, entry: dict[str, Any]
) -> Episode:
    _check_index(path, entry["episode_index"], index)
    clips: dict[str, tuple[str, float]] = {}
    for camera in cameras:
        prefix = f"videos/{camera.name}"
        start_s = entry[f"{prefix}/from_timestamp"]
        if not isinstance(start_s, float) or not math.isfinite(start_s):
            raise DatasetError(f"{path}: episode {index} has no {prefix}/from_timestamp; repair it")
        place = {"video_key": camera.name, **_place(path, entry, prefix)}
        clips[camera.name] = (fill(about.video_path, place), start_s)
    return Episode(
        length=_length(path, index, entry["length"]),
        data=fill(about.data_path, _place(path, entry, "data")),
        clips=clips,
        tasks=_tasks(entry["tasks"]),
    )


def _place(path: Path, entry: dict[str, Any], prefix: str) -> dict[str, int | str]:
    return {
        name: whole_number(f"{path}: {prefix}/{name}", entry[f"{prefix}/{name}"], least=0)
        for name in ("chunk_index", "file_index")
    }


def _check_index(path: Path, found: Any, index: int) -> None:
    if found != index or isinstance(found, bool):
        raise DatasetError(
            f"{path}: entry {index} is of episode {str(found)[:20]}; put them in order"
        )


def _length(path: Path, index: int, length: Any) -> int:
    return whole_number(f"{path}: the length of episode {index}", length, least=1, most=MOST_STEPS)


def _tasks(tasks: Any) -> tuple[str, ...]:
    found = tasks if isinstance(tasks, list) else [tasks]
    return tuple(task[:LONGEST_TASK] for task in found if isinstance(task, str))


def ends_of(episodes: Sequence[Episode]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the row after each episode's last, [n_episodes]."""
    return np.cumsum([episode.length for episode in episodes], dtype=np.int64)

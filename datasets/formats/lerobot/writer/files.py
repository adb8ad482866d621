"""The files of a LeRobot data set of version 3.0, written front to back in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..description import CHUNK, DATA_PATHS, INFO, VIDEO_PATHS
from ..features import MARK
from ..guard import needed
from ..places import fill
from .columns import DEMANDED, Column, schema
from .encoding import FILE_MB, Codec, VideoWriter
from .statistics import Figures, Statistics, merge

DATA_FILE_MB = 100
EPISODES_AT_ONCE = 100
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
COMPRESSION = "snappy"

Rows = Mapping[str, NDArray[Any]]


class DatasetFiles:
    """Writes one data set: `begin`, `write` and `end` an episode after the other, then `finish`."""

    def __init__(self, root: Path, columns: Sequence[Column], codec: Codec) -> None:
        """Prepare to write into the empty folder `root`."""
        self._root = root
        self._columns = columns
        self._codec = codec
        self._schema = schema(columns)
        self._cameras = {
            column: VideoWriter(column, codec, self._video_path(column))
            for column in columns
            if column.kind == "video"
        }
        self._table: Any = None
        self._table_path = root
        self._file = -1
        self._episodes_table: Any = None
        self._waiting: list[dict[str, Any]] = []

        self._n_episodes = 0
        self._n_steps = 0
        self._length = 0
        self._task = 0
        self._gathered: dict[Column, Statistics] = {}
        self._all: dict[str, Figures] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for camera in self._cameras.values():
            camera.discard()
        for table in (self._table, self._episodes_table):
            if table is not None:
                table.close()

    def begin(self, length: int, task: int) -> None:
        """Begin an episode of `length` rows that shows the task of that number."""
        if self._table is None or self._table_path.stat().st_size >= DATA_FILE_MB << 20:
            self._next_table()
        for camera in self._cameras.values():
            camera.begin()
        self._length = 0
        self._task = task
        self._gathered = {column: Statistics(column, length) for column in self._columns}

    def write(self, rows: Rows) -> None:
        """Append rows {key: [n, ...]} to the episode."""
        arrow = needed("pyarrow")
        count = len(rows[self._columns[0].key])
        arrays: dict[str, Any] = {}
        for column in self._columns:
            values = rows[column.key]
            self._gathered[column].update(values)
            if column.kind == "video":
                self._cameras[column].write(values)
            else:
                arrays[column.name] = column.to_arrow(values, first_frame=self._length)
        arrays |= {name: arrow.array(values) for name, values in self._places(count).items()}
        self._table.write_table(arrow.table(arrays, schema=self._schema))
        self._length += count

    def end(self, tasks: Sequence[str]) -> None:
        """End the episode, which shows these tasks."""
        figures = {column.name: each.figures() for column, each in self._gathered.items()}
        for name, each in figures.items():
            self._all[name] = merge(self._all[name], each) if name in self._all else each

        row: dict[str, Any] = {
            "episode_index": self._n_episodes,
            "tasks": list(tasks),
            "length": self._length,
            **_file_place("data", self._file),
            "dataset_from_index": self._n_steps,
            "dataset_to_index": self._n_steps + self._length,
        }
        for column, camera in self._cameras.items():
            file, start_s, stop_s = camera.place()
            prefix = f"videos/{column.name}"
            row |= _file_place(prefix, file)
            row |= {f"{prefix}/from_timestamp": start_s, f"{prefix}/to_timestamp": stop_s}
        row |= {
            f"stats/{name}/{figure}": value.tolist()
            for name, each in figures.items()
            for figure, value in each.items()
        }
        row |= _file_place("meta/episodes", 0)

        self._waiting.append(row)
        self._n_episodes += 1
        self._n_steps += self._length
        if len(self._waiting) >= EPISODES_AT_ONCE:
            self._write_episodes()

    def finish(self, tasks: Sequence[str], robot: str | None, noted: Mapping[str, Any]) -> None:
        """Write what describes the whole: tasks, statistics, `info.json`."""
        for camera in self._cameras.values():
            camera.close()
        self._table.close()
        self._write_episodes()
        self._episodes_table.close()
        self._write_tasks(tasks)
        figures = {
            name: {figure: value.tolist() for figure, value in each.items()}
            for name, each in self._all.items()
        }
        write_json(self._root / "meta" / "stats.json", figures)
        write_json(self._root / INFO, self._info(len(tasks), robot, noted))

    def _places(self, count: int) -> dict[str, NDArray[Any]]:
        """Return the bookkeeping of the next rows."""
        frames = np.arange(self._length, self._length + count)
        values = {
            "timestamp": frames / self._codec.fps,
            "frame_index": frames,
            "episode_index": np.full(count, self._n_episodes),
            "index": frames + self._n_steps,
            "task_index": np.full(count, self._task),
        }
        return {name: values[name].astype(dtype) for name, dtype in DEMANDED.items()}

    def _next_table(self) -> None:
        if self._table is not None:
            self._table.close()
        self._file += 1
        self._table_path = self._root / fill(DATA_PATHS[3], _indices(self._file))
        self._table = self._open_table(self._table_path, self._schema)

    def _open_table(self, path: Path, kind: Any) -> Any:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet = needed("pyarrow.parquet")
        return parquet.ParquetWriter(path, kind, compression=COMPRESSION)

    def _write_episodes(self) -> None:
        if not self._waiting:
            return
        arrow = needed("pyarrow")
        table = arrow.Table.from_pylist(self._waiting)
        if self._episodes_table is None:
            self._episodes_table = self._open_table(self._root / EPISODES_PATH, table.schema)
        self._episodes_table.write_table(table.cast(self._episodes_table.schema))
        self._waiting = []

    def _write_tasks(self, tasks: Sequence[str]) -> None:
        """Write the table that pandas would: the words are its index."""
        arrow = needed("pyarrow")
        index = "__index_level_0__"
        table = arrow.table({"task_index": np.arange(len(tasks)), index: list(tasks)})
        pandas = {
            "index_columns": [index],
            "column_indexes": [],
            "columns": [
                _pandas_column("task_index", "task_index", "int64"),
                _pandas_column(None, index, "unicode", "object"),
            ],
            "creator": {"library": "pyarrow", "version": arrow.__version__},
            "pandas_version": "2.2.0",
        }
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
        needed("pyarrow.parquet").write_table(table, self._root / "meta" / "tasks.parquet")

    def _video_path(self, column: Column) -> Any:
        def path_of(file: int) -> Path:
            return self._root / fill(VIDEO_PATHS[3], {"video_key": column.name, **_indices(file)})

        return path_of

    def _info(self, n_tasks: int, robot: str | None, noted: Mapping[str, Any]) -> dict[str, Any]:
        features: dict[str, Any] = {}
        for column in self._columns:
            features[column.name] = column.described()
            if column.kind == "video":
                features[column.name]["info"] = self._codec.described(column)
        for name, dtype in DEMANDED.items():
            features[name] = {"dtype": dtype, "shape": [1], "names": None}
        fps = self._codec.fps
        return {
            "codebase_version": "v3.0",
            "robot_type": robot,
            "total_episodes": self._n_episodes,
            "total_frames": self._n_steps,
            "total_tasks": n_tasks,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": DATA_FILE_MB,
            "video_files_size_in_mb": FILE_MB,
            "fps": int(fps) if float(fps).is_integer() else fps,
            "splits": {"train": f"0:{self._n_episodes}"},
            "data_path": DATA_PATHS[3],
            "video_path": VIDEO_PATHS[3] if self._cameras else None,
            "features": features,
            MARK: dict(noted),
        }


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as LeRobot does."""
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")


def _indices(file: int) -> dict[str, int | str]:
    return {"chunk_index": file // CHUNK, "file_index": file % CHUNK}


def _file_place(prefix: str, file: int) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in _indices(file).items()}


def _pandas_column(
    name: str | None, field: str, kind: str, dtype: str | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": field,
        "pandas_type": kind,
        "numpy_type": dtype or kind,
        "metadata": None,
    }

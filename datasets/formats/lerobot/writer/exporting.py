"""Write a data set of ours as a LeRobot data set: all of it, or nothing."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ....errors import DatasetError
from ....storage import ReplayBuffer
from ....storage.directory import cannot_write, discard, lock_directory, publish, unfinished
from ..description import INFO
from ..stating import ACTION_PARTS
from .columns import Column, columns_of
from .encoding import CODECS, Codec
from .files import DatasetFiles

PNG = "png"
PIECE_BYTES = 16 << 20
MOST_ROWS = 1 << 14
#: All that a LeRobot data set on disk consists of; only such a folder is ever replaced.
PARTS = frozenset({"meta", "data", "videos"})
UNNAMED_TASK = "unknown"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        path: The new data set.
        n_episodes: Episodes written: all of them.
        n_steps: Steps written: all of them.
        features: {key: name of the feature}.
        notes: One line for each thing that deserves a look.
    """

    path: Path
    n_episodes: int
    n_steps: int
    features: Mapping[str, str]
    notes: tuple[str, ...]


def export_data(
    source: str | Path,
    destination: str | Path,
    *,
    images: str = PNG,
    crf: int = 23,
    fps: float | None = None,
    task: str | None = None,
    robot: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write a data set as LeRobot 3.0: parquet, pictures as PNG in it or as video beside it.

    The copy streams and gets its name only when it is complete. `import` brings it back bit for
    bit, except for pictures that went through a video codec.

    Args:
        source: Data set of ours.
        destination: Folder to make.
        images: "png" loses nothing; "h264" or "av1" makes video of three-channel pictures.
        crf: Of the video: greater is smaller and coarser.
        fps: Steps a second; the data set's own if None.
        task: What the demonstrations show, in words; what their source said if None.
        robot: Type of the robot.
        overwrite: Replace a LeRobot data set at `destination`.
        progress: Called with (steps written, all steps) after every piece.

    Raises:
        DatasetError: The source cannot be read or written so, the destination is taken, or the
            disk refuses.
    """
    destination = Path(destination)
    buffer = ReplayBuffer.open(source)
    codec = _codec(buffer, images, crf, fps)
    columns = columns_of(buffer, as_video=images != PNG)
    for column in columns:
        if column.kind == "video":
            codec.check(column)
    tasks, shown = _tasks(buffer, task)
    action = {name: buffer.attrs["action"][name] for name in ACTION_PARTS}

    with (
        _replacing(destination, overwrite=overwrite) as folder,
        DatasetFiles(folder, columns, codec) as files,
    ):
        for episode in range(buffer.n_episodes):
            _write_episode(buffer, episode, columns, files, tasks, shown[episode], progress)
        files.finish(tasks, robot, {"action": action})

    return ExportReport(
        path=destination,
        n_episodes=buffer.n_episodes,
        n_steps=buffer.n_steps,
        features={column.key: column.name for column in columns},
        notes=tuple(_notes(columns, images)),
    )


def _codec(buffer: ReplayBuffer, images: str, crf: int, fps: float | None) -> Codec:
    rate = buffer.attrs["control_rate_hz"] if fps is None else fps
    if not buffer.n_episodes:
        raise DatasetError(f"{buffer.path} holds no episode; there is nothing to export")
    if rate is None or not math.isfinite(rate) or rate <= 0:
        raise DatasetError(f"{buffer.path} does not say how many steps a second; give fps=...")
    if images != PNG and images not in CODECS:
        raise DatasetError(f"images is {images!r}; give one of {PNG}, {', '.join(CODECS)}")
    return Codec(name="h264" if images == PNG else images, crf=crf, fps=rate)


def _tasks(buffer: ReplayBuffer, task: str | None) -> tuple[list[str], list[int]]:
    """Return the tasks in words, and the place of each episode's in them."""
    n_episodes = buffer.n_episodes
    if task is not None:
        return [task], [0] * n_episodes
    origin = (buffer.attrs["source"] or {}).get("attributes", {})
    tasks = origin.get("tasks")
    if not (isinstance(tasks, list) and tasks and all(isinstance(each, str) for each in tasks)):
        return [buffer.attrs["env_id"] or UNNAMED_TASK], [0] * n_episodes

    shown = origin.get("episode_tasks", [0] * n_episodes)
    if len(shown) < n_episodes or not all(0 <= place < len(tasks) for place in shown):
        shown = [0] * n_episodes
    return tasks, shown


def _write_episode(
    buffer: ReplayBuffer,
    episode: int,
    columns: list[Column],
    files: DatasetFiles,
    tasks: list[str],
    task: int,
    progress: Progress | None,
) -> None:
    row_bytes = sum(column.dtype.itemsize * math.prod(column.shape) for column in columns)
    n_rows = min(MOST_ROWS, max(1, PIECE_BYTES // row_bytes))
    first, last = buffer.bounds(episode)
    files.begin(last - first, task)
    for start in range(first, last, n_rows):
        stop = min(start + n_rows, last)
        files.write({column.key: buffer.read(column.key, start, stop) for column in columns})
        if progress is not None:
            progress(stop, buffer.n_steps)
    files.end([tasks[task]])


def _notes(columns: list[Column], images: str) -> Iterator[str]:
    videos = [column.key for column in columns if column.kind == "video"]
    if videos:
        yield f"{', '.join(videos)}: written as {images} video, which loses detail"
    for column in columns:
        if column.kind == "number" and len(column.shape) == 3 and column.dtype.kind == "f":
            yield f"{column.key} is no uint8 picture: written as numbers, which takes much space"


@contextmanager
def _replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` when the block ends without an error."""
    _refuse_taken(path, overwrite=overwrite)
    temporary = unfinished(path)
    lock: int | None = None
    try:
        if temporary.exists():
            # The lock tells what a killed process left from what another is writing now.
            os.close(lock_directory(temporary))
            shutil.rmtree(temporary)
        (temporary / "meta").mkdir(parents=True)
        lock = lock_directory(temporary)
        yield temporary
        _sync(temporary)
        _refuse_taken(path, overwrite=overwrite)
        publish(temporary, path)
    except OSError as error:
        raise DatasetError(
            f"{cannot_write(path, error)} and export again; nothing was written there"
        ) from error
    finally:
        if lock is not None:
            os.close(lock)
            discard(temporary)


def _refuse_taken(path: Path, *, overwrite: bool) -> None:
    """Raise `DatasetError` unless `path` is free, or holds a LeRobot data set to be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    names = {child.name for child in path.iterdir()} if path.is_dir() else set()
    if not (path / INFO).is_file() or not names <= PARTS:
        raise DatasetError(f"{path} exists and holds other files than LeRobot's; name another path")
    if not overwrite:
        raise DatasetError(
            f"{path} holds a data set already; name another path, or overwrite=true to replace it"
        )


def _sync(folder: Path) -> None:
    """Make every file durable before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())

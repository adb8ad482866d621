"""Open a LeRobot data set and yield its rows: the importer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..importer import Block, ForeignData
from .description import INFO, Description, read_description
from .episodes import Episode, data_files, ends_of, read_episodes
from .features import Feature
from .pictures import decode
from .places import require
from .selection import Selection, select
from .sources import check_data, check_videos
from .stating import kept, stated
from .tables import batches, open_table, to_numpy
from .video import Clip, FrameReader

PLACE = ("episode_index", "frame_index")
TIME = "timestamp"
# Encoded pictures may be far larger than their kind usually is, so only few are held.
PICTURES_AT_ONCE = 16


class LeRobotImporter:
    """Reads LeRobot data sets of version 2.0, 2.1 and 3.0."""

    name = "lerobot"
    takes = "a LeRobot folder of version 2 or 3, with meta/info.json, data/ and perhaps videos/"

    def recognises(self, path: Path) -> bool:
        """Say whether `meta/info.json` is there."""
        try:
            return (path / INFO).is_file()
        except OSError:
            return False

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        """Open a data set; see `Importer.open`."""
        about = read_description(path)
        chosen = select(about, keys, allow_missing=allow_missing)
        episodes = read_episodes(about, chosen.of("video"))
        dtypes, notes = check_data(about, chosen, data_files(episodes))
        notes += check_videos(about, chosen.of("video"), episodes)
        rows = _Rows(about, chosen, episodes)

        yield ForeignData(
            shapes={key: feature.shape for key, feature in chosen.features.items()},
            dtypes={key: dtypes.get(key, np.dtype(np.uint8)) for key in chosen.features},
            episode_ends=rows.ends,
            blocks=rows.blocks,
            stated=stated(about),
            kept=kept(about, chosen.features.values(), episodes),
            notes=(*chosen.notes, *notes),
        )


IMPORTER = LeRobotImporter()


@dataclass
class _Rows:
    """The rows of a checked data set."""

    about: Description
    chosen: Selection
    episodes: Sequence[Episode]

    def __post_init__(self) -> None:
        self.ends = ends_of(self.episodes)

    def blocks(self, n_rows: int) -> Iterator[Block]:
        """Yield all rows of all keys in order, at most `n_rows` at a time."""
        if self.chosen.of("image"):
            n_rows = min(n_rows, PICTURES_AT_ONCE)
        start = 0
        with ExitStack() as stack:
            cameras = {
                feature: stack.enter_context(
                    FrameReader(feature.name, feature.shape, self.about.fps)
                )
                for feature in self.chosen.of("video")
            }
            for name, length in data_files(self.episodes):
                path = require(self.about.root, name)
                stop = start + length
                for block, place in self._columns(path, n_rows):
                    count = len(place[PLACE[0]])
                    self._check_place(path, place, start, start + count)
                    for feature, camera in cameras.items():
                        block[feature.key] = self._frames(feature, camera, place[TIME], start)
                    yield block
                    start += count
                if start != stop:
                    raise DatasetError(f"{path} ends too soon; copy or download it again")

    def _columns(self, path: Path, n_rows: int) -> Iterator[tuple[Block, Block]]:
        """Yield the keys in a parquet file, and by their names each row's place and time."""
        stored = self.chosen.stored
        place = [*PLACE, TIME] if self.chosen.of("video") else [*PLACE]
        columns = {feature.name for feature in stored.values()}.union(place)
        with open_table(path) as table:
            for batch in batches(path, table, sorted(columns), n_rows):
                yield (
                    {key: _values(path, each, batch[each.name]) for key, each in stored.items()},
                    {name: to_numpy(path, name, batch[name], ()) for name in place},
                )

    def _check_place(
        self, path: Path, place: Mapping[str, NDArray[Any]], start: int, stop: int
    ) -> None:
        """Hold each row to the episode and the step that its position makes it."""
        rows = np.arange(start, stop)
        episode = np.searchsorted(self.ends, rows, side="right")
        if stop > self.ends[-1]:
            raise DatasetError(f"{path} holds more rows than it states; copy or download it again")
        first = np.concatenate([[0], self.ends])[episode]
        expected = (episode, rows - first)
        for name, values in zip(PLACE, expected, strict=True):
            wrong = np.flatnonzero(place[name] != values)
            if len(wrong):
                row = int(wrong[0])
                raise DatasetError(
                    f"{path}: row {start + row} of the data set has {name} "
                    f"{place[name][row]} where {values[row]} belongs; put the rows in order"
                )

    def _frames(
        self, feature: Feature, camera: FrameReader, times: NDArray[Any], start: int
    ) -> NDArray[np.uint8]:
        """Return the frames of rows that may belong to several episodes."""
        stop = start + len(times)
        frames = np.empty((len(times), *feature.shape), dtype=np.uint8)
        episode = int(np.searchsorted(self.ends, start, side="right"))
        while start < stop:
            end = min(int(self.ends[episode]), stop)
            name, start_s = self.episodes[episode].clips[feature.name]
            clip = Clip(require(self.about.root, name), start_s)
            part = slice(len(times) - (stop - start), len(times) - (stop - end))
            frames[part] = camera.read(clip, times[part].astype(np.float64))
            start = end
            episode += 1
        return frames


def _values(path: Path, feature: Feature, array: Any) -> NDArray[Any]:
    if feature.kind == "image":
        return decode(path, feature.name, array, feature.shape)
    values = to_numpy(path, feature.name, array, feature.stored)
    return values.reshape(len(values), *feature.shape)

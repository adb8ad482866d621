"""What `meta/info.json` says of a data set, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DatasetError, whole_number
from .features import Feature, parse_features
from .guard import reading
from .places import require

INFO = "meta/info.json"
VERSIONS = ("v2.0", "v2.1", "v3.0")
LARGEST_JSON = 1 << 24
MOST_EPISODES = 1 << 21
MOST_STEPS = 1 << 40
CHUNK = 1000

DATA_PATHS = {
    2: "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    3: "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
VIDEO_PATHS = {
    2: "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    3: "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}


@dataclass(frozen=True)
class Description:
    """A data set as its `info.json` describes it.

    Attributes:
        root: Folder of the data set.
        version: "v2.0", "v2.1" or "v3.0".
        fps: Steps a second.
        n_episodes: Episodes.
        n_steps: Steps of all episodes together.
        chunk: Episodes a folder (version 2).
        data_path: Pattern of the parquet files.
        video_path: Pattern of the mp4 files.
        features: By key.
        raw: The whole file.
    """

    root: Path
    version: str
    fps: float
    n_episodes: int
    n_steps: int
    chunk: int
    data_path: str
    video_path: str
    features: Mapping[str, Feature]
    raw: Mapping[str, Any]

    @property
    def major(self) -> int:
        """2 or 3: which files to expect."""
        return int(self.version[1])


def read_description(root: Path) -> Description:
    """Read `meta/info.json`.

    Raises:
        DatasetError: It is absent, damaged, of another version, or does not make sense.
    """
    path = require(root, INFO)
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise DatasetError(f"{path} is no JSON object; download it again")
    version = raw.get("codebase_version")
    if version not in VERSIONS:
        raise DatasetError(
            f"{path} is of LeRobot's version {str(version)[:20]!r}, read are "
            f"{', '.join(VERSIONS)}; convert it with LeRobot's own script"
        )

    major = int(version[1])
    return Description(
        root=root,
        version=version,
        fps=_rate(path, raw.get("fps")),
        n_episodes=_count(path, raw, "total_episodes", MOST_EPISODES),
        n_steps=_count(path, raw, "total_frames", MOST_STEPS),
        chunk=_count(path, {"chunks_size": CHUNK, **raw}, "chunks_size", MOST_STEPS),
        data_path=_pattern(path, raw, "data_path", DATA_PATHS[major]),
        video_path=_pattern(path, raw, "video_path", VIDEO_PATHS[major]),
        features=parse_features(path, raw.get("features")),
        raw=raw,
    )


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DatasetError: It is damaged or far too long.
    """
    with reading(path):
        with path.open("rb") as file:
            content = file.read(LARGEST_JSON + 1)
        if len(content) > LARGEST_JSON:
            raise DatasetError(f"{path} is longer than {LARGEST_JSON} bytes; repair the source")
        return json.loads(content)


def _rate(path: Path, fps: Any) -> float:
    number = isinstance(fps, int | float) and not isinstance(fps, bool)
    if not number or not 0 < fps < 1e6 or not math.isfinite(fps):
        raise DatasetError(f"{path}: fps is {str(fps)[:40]}; give the steps a second")
    return fps  # type: ignore[no-any-return]


def _count(path: Path, raw: Mapping[str, Any], name: str, most: int) -> int:
    return whole_number(f"{path}: {name}", raw.get(name), least=1, most=most)


def _pattern(path: Path, raw: Mapping[str, Any], name: str, usual: str) -> str:
    pattern = raw.get(name) or usual
    if not isinstance(pattern, str) or len(pattern) > 1000:
        raise DatasetError(f"{path}: {name} is no path; give one such as {usual}")
    return pattern

"""Every file of a data set held to its description before the first row is copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import DatasetError
from .description import Description
from .episodes import Episode
from .features import Feature
from .guard import needed
from .pictures import is_encoded
from .places import require
from .selection import Selection
from .tables import check_sizes, number_dtype, open_table, schema_of
from .video import count_frames

Dtypes = dict[str, np.dtype[Any]]


def check_data(
    about: Description, chosen: Selection, files: Sequence[tuple[str, int]]
) -> tuple[Dtypes, list[str]]:
    """Hold every parquet file's footer to the features and to its episodes.

    Returns:
        The dtype of each key that the files hold, and notes.

    Raises:
        DatasetError: A file is missing or damaged, or holds other columns, types or counts.
    """
    first: Dtypes | None = None
    for name, length in files:
        path = require(about.root, name)
        with open_table(path) as table:
            schema = schema_of(path, table)
            sizes = _sizes(chosen, place=chosen.of("video") != [])
            n_rows = check_sizes(path, table, sizes)
            if n_rows != length:
                raise DatasetError(
                    f"{path} holds {n_rows} rows, its episodes {length}; copy or download it again"
                )
            dtypes = {key: _dtype(path, feature, schema) for key, feature in chosen.stored.items()}
        first = first or dtypes
        if dtypes != first:
            key = next(key for key in dtypes if dtypes[key] != first[key])
            raise DatasetError(
                f"{path}: {key!r} is {dtypes[key]}, in the first file {first[key]}; write it anew"
            )

    assert first is not None
    notes = [
        f"{feature.name!r} is declared {feature.dtype} and stored as {first[key]}, which is kept"
        for key, feature in chosen.stored.items()
        if feature.kind == "number" and np.dtype(feature.dtype) != first[key]
    ]
    return first, notes


def _sizes(chosen: Selection, *, place: bool) -> dict[str, int]:
    """Return how many numbers a row of each column holds."""
    sizes = {"episode_index": 1, "frame_index": 1}
    if place:
        sizes["timestamp"] = 1
    for feature in chosen.stored.values():
        if feature.kind == "number":
            sizes[feature.name] = math.prod(feature.stored)
    return sizes


def _dtype(path: Any, feature: Feature, schema: dict[str, Any]) -> np.dtype[Any]:
    if feature.name not in schema:
        raise DatasetError(f"{path} has no column {feature.name!r}; copy or download it again")
    if feature.kind == "number":
        return number_dtype(path, feature.name, schema[feature.name])
    if not is_encoded(schema[feature.name]):
        raise DatasetError(
            f"{path}: column {feature.name!r} holds {schema[feature.name]}, not PNG or JPEG; "
            "correct meta/info.json"
        )
    return np.dtype(np.uint8)


def check_videos(
    about: Description, cameras: Sequence[Feature], episodes: Sequence[Episode]
) -> list[str]:
    """Hold the frames that every mp4 file states to the rows of its episodes.

    Returns:
        A note on each camera that has frames which no row names.

    Raises:
        DatasetError: A file is missing or damaged, has another picture size, or too few frames.
    """
    if cameras:
        needed("av")
    notes: list[str] = []
    for camera in cameras:
        if camera.shape[-1] == 4:
            raise DatasetError(
                f"{about.root}: the video {camera.name!r} has 4 channels; leave it out with "
                "keys=[...]"
            )
        rows: dict[str, int] = {}
        for episode in episodes:
            name, _ = episode.clips[camera.name]
            rows[name] = rows.get(name, 0) + episode.length

        surplus = sum(_surplus(about, camera, name, count) for name, count in rows.items())
        if surplus:
            notes.append(f"not carried over: {surplus} frames of {camera.name!r} without a row")
    return notes


def _surplus(about: Description, camera: Feature, name: str, n_rows: int) -> int:
    """Return how many more frames than rows a file has."""
    path = require(about.root, name)
    frames, rate = count_frames(path, camera.shape)
    # A camera may run faster than the data are taken; then only the times tell.
    same_rate = rate is not None and math.isclose(rate, about.fps, rel_tol=0.01)
    if not frames or (not same_rate and frames > n_rows):
        return 0
    if frames < n_rows:
        raise DatasetError(
            f"{path} holds {frames} frames, its episodes {n_rows} rows; copy or download it again"
        )
    return frames - n_rows

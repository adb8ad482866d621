"""The zarr groups and arrays that make a data set: made, widened, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata

from ..errors import DatasetError
from .attributes import SCHEMA_VERSION
from .chunks import Array, chunk_rows, writes_all
from .store import DurableStore
from .validation import Episode

ENDS_CHUNK_ROWS = 1 << 12
# We write chunks of about a mebibyte, or of one row; a file of others may declare anything.
LARGEST_CHUNK_BYTES = 1 << 29
# One flat folder of chunk files a key, instead of nested ones.
FLAT_CHUNK_NAMES: Any = {"name": "default", "separator": "."}


def create_groups(path: Path, attributes: dict[str, Any]) -> None:
    """Write an empty data set: `data`, and `meta/episode_ends` of length 0.

    Metadata is not consolidated: that would copy the shapes, whose change must be one write.
    """
    group = zarr.create_group(DurableStore(path), attributes=attributes)
    group.create_group("data")
    group.create_group("meta").create_array(
        "episode_ends",
        shape=(0,),
        chunks=(ENDS_CHUNK_ROWS,),
        dtype="int64",
        compressors=[Crc32cCodec()],
        chunk_key_encoding=FLAT_CHUNK_NAMES,
    )


def create_arrays(group: zarr.Group, rows: Episode) -> dict[str, Array]:
    """Make an empty array under `data` for every key, with the rows' dtypes and shapes."""
    data = child_group(group, "data")
    arrays: dict[str, Array] = {}
    for key, values in sorted(rows.items()):
        array = data.create_array(
            key,
            shape=(0, *values.shape[1:]),
            chunks=(chunk_rows(values), *values.shape[1:]),
            dtype=values.dtype,
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()],
            chunk_key_encoding=FLAT_CHUNK_NAMES,
            overwrite=True,
        )
        arrays[key] = writes_all(array)
    return arrays


def extend_at_once(array: Array, values: NDArray[np.int64]) -> None:
    """Append values so that a reader sees all of them or none.

    They go into the chunk files while the array's shape still hides them; then the shape grows,
    by the renaming of one file.
    """
    before = array.shape[0]
    shape = (before + len(values), *array.shape[1:])
    metadata = array.metadata.update_shape(shape)
    assert isinstance(metadata, ArrayV3Metadata)
    stored = array.async_array
    widened = zarr.Array(zarr.AsyncArray(metadata, stored.store_path, stored.config))
    widened[before:] = values
    array.resize(shape)


def child_group(group: zarr.Group, name: str) -> zarr.Group:
    """Return a sub-group, or raise `DatasetError` when it is none."""
    child = group[name]
    if not isinstance(child, zarr.Group):
        raise DatasetError(f"{name} is an array where a group belongs; restore it from a copy")
    return child


def child_array(group: zarr.Group, name: str) -> Array:
    """Return an array of a group, or raise `DatasetError` when it is none."""
    child = group[name]
    if not isinstance(child, zarr.Array):
        raise DatasetError(f"{name} is a group where an array belongs; restore it from a copy")
    return writes_all(child)


def check_consistent(
    path: Path,
    attributes: Mapping[str, Any],
    episode_ends: NDArray[np.int64],
    arrays: Mapping[str, Array],
) -> None:
    """Raise `DatasetError` unless the parts of a data set fit together."""
    version = attributes.get("kinoise_schema")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise DatasetError(
            f"{path} has schema {version!r}, this version reads up to {SCHEMA_VERSION}; "
            "update kinoise, or import the data"
        )
    if np.any(np.diff(episode_ends, prepend=0) <= 0):
        raise DatasetError(f"{path}: meta/episode_ends does not grow; restore it from a copy")
    n_steps = episode_ends[-1] if len(episode_ends) else 0
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise DatasetError(f"{path}: key {key!r} holds {array.dtype}, not numbers; remove it")
        chunk_bytes = array.dtype.itemsize * math.prod(array.chunks)
        if chunk_bytes > LARGEST_CHUNK_BYTES:
            raise DatasetError(
                f"{path}: key {key!r} declares chunks of {chunk_bytes >> 20} MiB, where at most "
                f"{LARGEST_CHUNK_BYTES >> 20} are read at once; import it anew"
            )
        if array.shape[0] < n_steps:
            raise DatasetError(
                f"{path}: key {key!r} holds {array.shape[0]} of {n_steps} steps; restore it from "
                "a copy"
            )

"""Diffusion Policy's replay buffer: zarr 2, a folder or a .zip.

Format (Chi et al. 2023, reference code): `data/<key>` [N, ...] and
`meta/episode_ends` [n_episodes]. It says nothing of the control rate, of the actions' meaning,
units and limits, nor of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, nearest
from ..keys import ACTION
from .files import SourceFiles, open_files, plain_name
from .importer import Block, ForeignData
from .zarr2 import Zarr2Array, open_array, read_json

ENDS = "meta/episode_ends"
# What all keys together may keep in memory while they are copied.
SOURCE_BYTES = 1 << 29


class DiffusionPolicyImporter:
    """Reads zarr 2 replay buffers."""

    name = "diffusion_policy"
    takes = "a zarr 2 folder, or a whole .zip of one, with data/action and meta/episode_ends"

    def recognises(self, path: Path) -> bool:
        """Say whether `meta/episode_ends` is there as a zarr 2 array."""
        try:
            with open_files(path) as files:
                return _find_root(files) is not None
        except (DatasetError, OSError):
            return False

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        """Open a replay buffer; see `Importer.open`."""
        with open_files(path) as files:
            root = _find_root(files)
            if root is None:
                raise DatasetError(
                    f"{path} is not a Diffusion Policy replay buffer (no {ENDS} in zarr 2 "
                    "format); give the folder or .zip that holds it"
                )
            yield _opened(path, files, root, keys, allow_missing)


IMPORTER = DiffusionPolicyImporter()


def _find_root(files: SourceFiles) -> str | None:
    """Return the folder that holds data/ and meta/: the top one or (often in zips) its child."""
    for folder in ("", *files.names("")):
        if ".zarray" in files.names(f"{folder}/{ENDS}".strip("/")):
            return folder
    return None


def _opened(
    path: Path, files: SourceFiles, root: str, keys: Sequence[str] | None, allow_missing: bool
) -> ForeignData:
    ends = _read_ends(path, open_array(path, files, root, ENDS))
    n_steps = int(ends[-1])

    data = f"{root}/data".strip("/")
    meta = f"{root}/meta".strip("/")
    folders = [name for name in files.names(data) if files.names(f"{data}/{name}")]
    found = [plain_name(path, name) for name in folders]
    wanted = _choose(path, found, keys)
    notes = [f"not carried over, as asked: key {key!r}" for key in found if key not in wanted]
    notes += [
        f"not carried over: meta/{name}"
        for name in files.names(meta)
        if name != "episode_ends" and not name.startswith(".z")
    ]

    arrays = {
        key: open_array(path, files, root, f"data/{key}", allow_missing=allow_missing)
        for key in wanted
    }
    held = sum(array.held_bytes for array in arrays.values())
    if held > SOURCE_BYTES:
        raise DatasetError(
            f"{path}: reading these {len(arrays)} keys side by side takes {held >> 20} MiB, more "
            f"than {SOURCE_BYTES >> 20}; rewrite them in smaller chunks, or choose some with "
            "keys=..."
        )
    for array in arrays.values():
        notes += _check_length(array, n_steps)
        notes += array.require_chunks(n_steps)

    def blocks(n_rows: int) -> Iterator[Block]:
        for start in range(0, n_steps, n_rows):
            stop = min(start + n_rows, n_steps)
            yield {key: array.read(start, stop) for key, array in arrays.items()}

    return ForeignData(
        shapes={key: array.shape[1:] for key, array in arrays.items()},
        dtypes={key: array.dtype.newbyteorder("=") for key, array in arrays.items()},
        episode_ends=ends,
        blocks=blocks,
        kept=_attributes(path, files, {"root": root, "data": data, "meta": meta}),
        notes=tuple(notes),
    )


def _read_ends(path: Path, array: Zarr2Array) -> NDArray[np.int64]:
    if len(array.shape) != 1 or array.dtype.kind not in "iu":
        raise DatasetError(
            f"{path}: {ENDS} holds {array.dtype} of shape {array.shape}, not a list of whole "
            "numbers; repair it"
        )
    array.require_chunks(array.shape[0])
    ends = array.read(0, array.shape[0]).astype(np.int64)
    if not len(ends) or np.any(np.diff(ends, prepend=0) <= 0):
        raise DatasetError(f"{path}: {ENDS} is empty or does not grow; repair it")
    return ends


def _choose(path: Path, found: Sequence[str], keys: Sequence[str] | None) -> list[str]:
    if ACTION not in found:
        raise DatasetError(f"{path} has no key 'action', only {list(found)}; rename the right one")
    wanted = sorted(found if keys is None else {*keys, ACTION})
    for key in wanted:
        if key not in found:
            raise DatasetError(f"{path} has no key {key!r}{nearest(key, found)}")
    return wanted


def _check_length(array: Zarr2Array, n_steps: int) -> list[str]:
    """Refuse an array that is too short; return a note on one that is too long."""
    length = array.shape[0]
    if length < n_steps:
        raise DatasetError(
            f"{array.path}: key {array.key!r} has {length} steps, the episodes end at {n_steps}; "
            "copy or download the source again"
        )
    beyond = length - n_steps
    return [f"not carried over: {beyond} steps of {array.key!r} after the last episode"] * bool(
        beyond
    )


def _attributes(
    path: Path, files: SourceFiles, folders: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return {group: attributes} of those groups that have any."""
    found = {
        name: read_json(path, files, f"{folder}/.zattrs".strip("/"))
        for name, folder in folders.items()
    }
    return {name: attributes for name, attributes in found.items() if attributes}

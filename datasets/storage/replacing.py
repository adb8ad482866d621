"""Write a data set beside the one it replaces: nothing is lost before the new one is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from .directory import (
    cannot_write,
    discard,
    lock_directory,
    publish,
    refuse_existing,
    unfinished,
)
from .replay_buffer import ReplayBuffer


@contextmanager
def replacing(
    path: str | Path, attributes: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> Iterator[ReplayBuffer]:
    """Open an empty data set that takes the name `path` when the block ends without an error.

    Until then whatever stands at `path` stays as it is. A killed process leaves a hidden folder
    beside it, which the next call removes.

    Args:
        path: Where the data set is to stand.
        attributes: See `attributes.complete_attributes`.
        overwrite: Replace a data set that stands there. Other files are never replaced.

    Raises:
        DatasetError: Something stands there already, an attribute is wrong, the disk refuses, or
            the block wrote no episode.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    temporary = unfinished(path)
    if temporary.exists():
        # The writer lock tells what a killed process left from what another is writing now.
        os.close(lock_directory(temporary))
        shutil.rmtree(temporary)
    try:
        with ReplayBuffer.create(temporary, attributes) as buffer:
            yield buffer
            if not buffer.n_episodes:
                raise DatasetError(f"{path}: no episode was written, so nothing was replaced")
        refuse_existing(path, overwrite=overwrite)
        publish(temporary, path)
    except BaseException as error:
        discard(temporary)
        refusal = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, OSError | DatasetError) and isinstance(refusal, OSError):
            line = f"{cannot_write(path, refusal)} and start again; nothing was written there"
            raise DatasetError(line) from error
        raise

"""Write a data set beside the one it replaces: nothing is lost before the new one is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from .attributes import complete_attributes
from .directory import (
    cannot_write,
    discard,
    lock_directory,
    publish,
    refuse_existing,
    unfinished,
)
from .replay_buffer import ReplayBuffer


class _OtherAttributes(DatasetError):
    """What was left belongs to something else."""


def _new(temporary: Path, attributes: Mapping[str, Any] | None) -> ReplayBuffer:
    return ReplayBuffer.create(temporary, attributes)


def _left(path: Path, temporary: Path, attributes: Mapping[str, Any] | None) -> ReplayBuffer:
    """Open what a killed process left, when it was about the same."""
    buffer = ReplayBuffer.open(temporary, mode="a")
    if buffer.attrs != complete_attributes(attributes):
        buffer.close()
        raise _OtherAttributes(
            f"{path}: what was left there came from another source or other settings, or the "
            "source has changed; start again without resume=true"
        )
    return buffer


@contextmanager
def replacing(
    path: str | Path,
    attributes: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[ReplayBuffer]:
    """Open an empty data set that takes the name `path` when the block ends without an error.

    Until then whatever stands at `path` stays as it is. A killed process leaves a hidden folder
    beside it, which the next call removes, or goes on with.

    Args:
        path: Where the data set is to stand.
        attributes: See `attributes.complete_attributes`.
        overwrite: Replace a data set that stands there. Other files are never replaced.
        resume: Go on with the whole episodes that a killed process left, and leave them in turn
            when this one is interrupted.

    Raises:
        DatasetError: Something stands there already, an attribute is wrong, the disk refuses, the
            block wrote no episode, or what was left has other attributes.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    temporary = unfinished(path)
    left = resume and temporary.exists()
    if temporary.exists() and not left:
        # The writer lock tells what a killed process left from what another is writing now.
        os.close(lock_directory(temporary))
        shutil.rmtree(temporary)
    try:
        with _left(path, temporary, attributes) if left else _new(temporary, attributes) as buffer:
            yield buffer
            if not buffer.n_episodes:
                raise DatasetError(f"{path}: no episode was written, so nothing was replaced")
        refuse_existing(path, overwrite=overwrite)
        publish(temporary, path)
    except BaseException as error:
        if not (resume and isinstance(error, KeyboardInterrupt | SystemExit | _OtherAttributes)):
            discard(temporary)
        refusal = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, OSError | DatasetError) and isinstance(refusal, OSError):
            line = f"{cannot_write(path, refusal)} and start again; nothing was written there"
            raise DatasetError(line) from error
        raise

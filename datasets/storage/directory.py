"""A data set's directory: who may make it, read it, write in it, and how it gets its name."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import time
import uuid
from pathlib import Path

from ..errors import DatasetError, nearest
from .store import PARTIAL

# Of Linux's renameat2(2).
AT_FDCWD = -100
RENAME_EXCHANGE = 2


def refuse_existing(path: Path, *, overwrite: bool = False) -> None:
    """Raise `DatasetError` unless `path` is free, or holds a data set that may be replaced.

    A data set that another process is appending to may not.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / "zarr.json").is_file() or not (path / "meta" / "episode_ends").is_dir():
        raise DatasetError(f"{path} exists and is not a data set of Kinoise; give another path")
    if not overwrite:
        raise DatasetError(
            f"{path} holds a data set already; give another path, or overwrite=true to replace it"
        )
    os.close(lock_directory(path))


def refuse_foreign(path: Path) -> None:
    """Raise `DatasetError` unless a data set of ours stands at `path`."""
    if not path.exists():
        siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, siblings) if siblings else ""
        raise DatasetError(f"no data set at {path}{hint if 'mean' in hint else ''}")
    if (path / ".zgroup").exists() or path.suffix == ".zip":
        raise DatasetError(
            f"{path} is a zarr 2 replay buffer of Diffusion Policy; run `kinoise import {path}`"
        )
    if not (path / "zarr.json").is_file() or not (path / "meta" / "episode_ends").is_dir():
        raise DatasetError(
            f"{path} is not a data set of Kinoise (no zarr.json with meta/episode_ends); "
            "give the directory that `kinoise collect` or `kinoise import` wrote"
        )


def lock_directory(path: Path) -> int:
    """Take the writer lock of a data set and return its descriptor, to close.

    The system frees it when the process ends, however it ends.

    Raises:
        DatasetError: Another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return descriptor
    except OSError as error:
        os.close(descriptor)
        raise DatasetError(
            f"{path}: another process is appending to it; wait for that one or write elsewhere"
        ) from error
    return descriptor


def cannot_write(path: Path, error: OSError) -> str:
    """Return the line that says why a write was refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full; free some space"
    return f"{path}: cannot write ({error.strerror or error})"


def sync_directory(path: Path) -> None:
    """Make the names inside a directory durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a directory; there is nothing better to do.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def unfinished(path: Path) -> Path:
    """Return where the data set that is to replace the one at `path` grows."""
    return path.with_name(f".{path.name}.writing")


def publish(temporary: Path, path: Path) -> None:
    """Give a finished directory its name, in place of whatever data set stood there.

    Where the system can exchange two names at once, some data set stands there at every moment.
    Elsewhere a crash between two renames leaves the old data under `.<name>.old`, never nothing.
    """
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
    if not path.exists():
        temporary.replace(path)
    elif _exchange(temporary, path):
        temporary.replace(old)
    else:
        path.replace(old)
        try:
            temporary.replace(path)
        except OSError:
            old.replace(path)
            raise
    sync_directory(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False where the system cannot (Linux alone can)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    here = ctypes.c_int(AT_FDCWD)
    exchange = ctypes.c_uint(RENAME_EXCHANGE)
    result: int = rename(here, os.fsencode(one), here, os.fsencode(other), exchange)
    return result == 0


def discard(path: Path) -> None:
    """Delete a directory, also where a last write of zarr's threads still lands in it."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)


def sweep_beside(path: Path) -> None:
    """Delete the unfinished and outdated directories that a killed process left beside `path`."""
    for ending in ("creating", "old"):
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.{ending}"):
            # The old data are only in the way once new ones stand in their place.
            if ending == "creating" or path.exists():
                shutil.rmtree(leftover, ignore_errors=True)


def sweep(path: Path) -> None:
    """Delete the temporary files that a killed writer left below `path`."""
    for leftover in path.rglob(f".*{PARTIAL}"):
        leftover.unlink(missing_ok=True)

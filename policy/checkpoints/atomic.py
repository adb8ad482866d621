"""Folders that are either wholly there or not, and replaced in one step."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block succeeds, or vanishes.

    A folder that stands at `path` is exchanged for the new one, so that at every moment one of the
    two has the name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()

    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)

        if not path.exists():
            temporary.replace(path)
        elif not _exchange(temporary, path):
            _put_aside(path)
            temporary.replace(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside(path), ignore_errors=True)


def aside(path: Path) -> Path:
    """Return where the old folder of that name waits while it is replaced.

    It stays there after a kill, on systems that cannot exchange two names in one step.
    """
    return path.parent / f".{path.name}.replaced"


def _put_aside(path: Path) -> None:
    """Move the folder at `path` to where it waits."""
    shutil.rmtree(aside(path), ignore_errors=True)
    path.replace(aside(path))


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step and return True, or False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False

    names = os.fsencode(one), os.fsencode(other)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _sync(path: Path) -> None:
    """Bring a file or a folder's names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Places that a verb will write to, tried before the work is done that would be lost there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .errors import UsageError


def check_folder(key: str, path: Path) -> None:
    """Hold the setting `key` to a folder that is there, or can be made, and can be written to.

    Raises:
        UsageError: a file stands in the way, or nothing can be written there.
    """
    _resolve(key, path)
    ancestor = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not ancestor.is_dir():
        raise UsageError(f"{key}: '{ancestor}' is a file, not a folder; choose another path")
    try:
        with tempfile.TemporaryFile(dir=ancestor):
            pass
    except OSError as error:
        raise UsageError(f"{key}: cannot write to '{ancestor}' ({error.strerror})") from error


def check_file(key: str, path: Path) -> None:
    """Hold the setting `key` to a file that is there, or can be made, and can be replaced.

    Raises:
        UsageError: it is a folder, or nothing can be written beside it.
    """
    _resolve(key, path)
    if path.is_dir():
        raise UsageError(f"{key}: '{path}' is a folder, not a file; name a file in it")
    check_folder(key, path.absolute().parent)


def _resolve(key: str, path: Path) -> None:
    """Refuse a path that no file system takes, such as one with a name of 300 letters."""
    try:
        is_there = path.exists()
    except OSError as error:
        raise UsageError(f"{key}: cannot use this path ({error.strerror})") from error
    if path.is_symlink() and not is_there:
        raise UsageError(f"{key}: '{path}' is a link to nothing; remove it first")

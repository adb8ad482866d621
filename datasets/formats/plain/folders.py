"""Folders of files of one kind, each an episode; nothing outside of the folder is read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ...errors import DatasetError
from ..rules.episodes import MOST_EPISODES, natural


def is_folder_of(path: Path, *endings: str) -> bool:
    """Say whether a folder holds a file of this kind; never raises."""
    try:
        return path.is_dir() and any(_fitting(path, endings))
    except OSError:
        return False


def files_of(path: Path, *endings: str) -> list[Path]:
    """Return the files of this kind in a folder, numbers in their names in order.

    Raises:
        DatasetError: There is none, or one is a link out of the folder or no plain file.
    """
    if not path.is_dir():
        raise DatasetError(f"no folder at {path}; give one with {endings[0]} files")
    files = {file.name: file for file in islice(_fitting(path, endings), MOST_EPISODES + 1)}
    if not files or len(files) > MOST_EPISODES:
        raise DatasetError(f"{path} holds {len(files)} {endings[0]} files; give another folder")
    root = path.resolve()
    for file in files.values():
        if not file.resolve().is_relative_to(root):
            raise DatasetError(f"{file} is a link out of the source; copy what it names there")
        if not file.exists() or not stat.S_ISREG(file.stat().st_mode):
            raise DatasetError(f"{file} is no plain file; repair the source")
    return [files[name] for name in natural(files)]


def _fitting(path: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    for file in path.iterdir():
        if file.suffix.lower() in endings and not file.name.startswith("."):
            yield file

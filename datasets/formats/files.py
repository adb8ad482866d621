"""Files of a foreign source, in a folder or a .zip: read where they lie, never more than asked.

Nothing is extracted, no link is followed out of the folder, and whatever a .zip says of a file's
size, no more than the limit is ever decompressed.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ..errors import DatasetError

# Those whose decompression takes little memory whatever the file says.
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1


class SourceFiles(Protocol):
    """The files below one folder; names are relative to it, with forward slashes."""

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of what lies directly in a folder; [] where there is none."""
        ...

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file's content, None where there is no such file.

        Raises:
            DatasetError: It is longer than `limit` bytes, is no plain file of the source, or
                cannot be read.
        """
        ...


@contextmanager
def open_files(path: Path) -> Iterator[SourceFiles]:
    """Open a folder or a .zip.

    Raises:
        DatasetError: Nothing is there, or it is neither.
    """
    if not path.exists():
        raise DatasetError(f"nothing to import at {path}; give a folder or a .zip")
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise DatasetError(
            f"{path} is neither a folder nor a readable .zip ({error}); download it again"
        ) from error
    with archive:
        yield _Zip(path, archive)


def plain_name(path: Path, name: str) -> str:
    """Return a name found in a source that is to name a folder of ours.

    Raises:
        DatasetError: It could lead elsewhere.
    """
    if name.startswith((".", "_")) or "\\" in name or "/" in name or not name.isprintable():
        raise DatasetError(f"{path}: key {name!r} cannot name a folder; rename it in the source")
    return name


class _Folder:
    """Files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = root.resolve()

    def names(self, folder: str) -> list[str]:
        path = self._root / folder
        return sorted(child.name for child in path.iterdir()) if path.is_dir() else []

    def read(self, name: str, limit: int) -> bytes | None:
        path = self._root / name
        if not path.exists():
            return None
        if not path.resolve().is_relative_to(self._real_root):
            raise DatasetError(f"{path} is a link out of the source; copy what it names there")
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{path} is no plain file; repair the source")
        with path.open("rb") as file:
            content = file.read(limit + 1)
        return _within(content, limit, str(path))


class _Zip:
    """Files of a .zip archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._entries = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        self._children: dict[str, set[str]] = {}

        for entry in self._entries:
            parts = entry.split("/")
            for depth, part in enumerate(parts):
                self._children.setdefault("/".join(parts[:depth]), set()).add(part)

    def names(self, folder: str) -> list[str]:
        return sorted(self._children.get(folder, ()))

    def read(self, name: str, limit: int) -> bytes | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        where = f"{self._path}: {name}"
        if entry.compress_type not in ZIP_METHODS or entry.flag_bits & ENCRYPTED:
            raise DatasetError(f"{where} is encrypted or packed strangely; zip the folder anew")
        if entry.file_size > limit:
            raise _too_long(where, limit)
        try:
            with self._archive.open(entry) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise DatasetError(f"{where} is damaged ({error}); download the .zip again") from error
        return _within(content, limit, where)


def _within(content: bytes, limit: int, where: str) -> bytes:
    if len(content) > limit:
        raise _too_long(where, limit)
    return content


def _too_long(where: str, limit: int) -> DatasetError:
    return DatasetError(f"{where} is longer than the {limit} bytes it may have; repair the source")

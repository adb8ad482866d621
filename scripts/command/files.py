"""Replace files and folders so that a reader finds the old or the new, never half or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as `write_bytes_atomically` does, in UTF-8."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder, made if absent.

    Raises:
        OSError: the disk refuses; the file that was there before is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private; a report is for sharing
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def set_aside(
    folder: Path, names: Sequence[str], *, replaced_by: str, keep: bool = False
) -> Iterator[None]:
    """Move what stands in a folder out of the way, and back unless something new has come.

    What was moved is removed when the block ends and `replaced_by` is there, and put back when it
    is not. A process that is killed in between leaves it in `folder/.replaced`, and the next one
    to come here decides in the same way.

    Args:
        folder: a run's folder; need not be there.
        names: of what is moved.
        replaced_by: path within the folder that only exists when its work is of use.
        keep: leave everything where it is, for work that continues.
    """
    aside = folder / ".replaced"
    _settle(folder, aside, replaced_by)
    if not keep:
        for name in names:
            if (folder / name).exists():
                aside.mkdir(exist_ok=True)
                (folder / name).rename(aside / name)
    try:
        yield
    finally:
        _settle(folder, aside, replaced_by)


def _settle(folder: Path, aside: Path, replaced_by: str) -> None:
    if not aside.exists():
        return
    if not (folder / replaced_by).exists():
        for old in aside.iterdir():
            new = folder / old.name
            if new.is_dir():
                shutil.rmtree(new)
            old.replace(new)
    shutil.rmtree(aside)

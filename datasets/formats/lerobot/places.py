"""Where the files of a LeRobot data set lie: the patterns of `info.json`, filled in and confined.

The patterns come from a stranger. Python's `str.format` would let them look into objects and ask
for fields of a gigabyte, so only `{name}` and `{name:03d}` are understood here.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ...errors import DatasetError

FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")


def fill(pattern: str, values: Mapping[str, int | str]) -> str:
    """Return a pattern of `info.json` with its fields filled in.

    Raises:
        DatasetError: A field is unknown or written in another way.
    """

    def value(match: re.Match[str]) -> str:
        name, width = match.groups()
        if name not in values or (width and isinstance(values[name], str)):
            raise _unclear(pattern, values)
        return str(values[name]).zfill(int(width or 0))

    filled = FIELD.sub(value, pattern)
    if "{" in FIELD.sub("", pattern) or "}" in FIELD.sub("", pattern):
        raise _unclear(pattern, values)
    return filled


def _unclear(pattern: str, values: Mapping[str, int | str]) -> DatasetError:
    return DatasetError(
        f"meta/info.json: the path {pattern[:80]!r} is not understood; use fields such as "
        f"{', '.join(f'{{{name}}}' for name in values)}"
    )


def locate(root: Path, name: str) -> Path | None:
    """Return the file `name` of a data set, None where there is none.

    Raises:
        DatasetError: The name leads out of the data set, or to something that is no plain file.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or not name.isprintable():
        raise DatasetError(
            f"{root}: the path {name[:80]!r} leads out of the data set; correct meta/info.json"
        )
    path = root / name
    try:
        mode = path.stat().st_mode
    except OSError:
        return None

    if not _is_inside(root, path):
        raise DatasetError(f"{path} is a link out of the data set; copy what it names there")
    if not stat.S_ISREG(mode):
        raise DatasetError(f"{path} is no plain file; repair the data set")
    return path


def require(root: Path, name: str) -> Path:
    """Return the file `name` of a data set.

    Raises:
        DatasetError: As `locate`, and where there is no such file.
    """
    path = locate(root, name)
    if path is None:
        raise DatasetError(f"{root / name} is missing; copy or download the data set again")
    return path


def _is_inside(root: Path, path: Path) -> bool:
    """Say whether a file lies in the data set, or in the hub's cache that the data set links to."""
    real = path.resolve()
    blobs = root.resolve().parents[1] / "blobs" if root.resolve().parent.name == "snapshots" else ""
    return real.is_relative_to(root.resolve()) or (blobs != "" and real.is_relative_to(blobs))

"""Open a source with the names, the part and the episodes that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from .importer import ForeignData, Importer, Keys, maps_keys
from .selection import renamed, subset, without_short


@contextmanager
def opened(
    importer: Importer,
    source: Path,
    keys: Keys,
    *,
    allow_missing: bool,
    min_steps: int,
    part: str | None,
) -> Iterator[ForeignData]:
    """Open a source; see `copying.import_data` for the settings.

    Raises:
        DatasetError: It cannot be read, or does not hold what was asked for.
    """
    if isinstance(keys, Mapping) and not getattr(importer, "joins_columns", False):
        for ours, name in keys.items():
            if not isinstance(name, str):
                raise DatasetError(f"keys: {ours} is {name!r}; give one name of the source")
    names = keys if isinstance(keys, Mapping) and not maps_keys(importer) else None
    wanted: Any = keys if names is None else list(dict.fromkeys(names.values()))
    with importer.open(source, wanted, allow_missing=allow_missing) as data:
        if names is not None:
            data = renamed(data, names)
        yield without_short(subset(data, part, source), min_steps, source)

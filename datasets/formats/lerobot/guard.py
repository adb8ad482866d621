"""Faults of foreign files and absent packages, each told in one line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import DatasetError

LONGEST_REASON = 160


def needed(module: str) -> Any:
    """Import a module of the extra `data`, for which most users have no need.

    Raises:
        DatasetError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DatasetError(
            f"LeRobot data sets need the package {package!r}; run pip install 'kinoise[data]'"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a decoder makes of a damaged file into one line.

    The C libraries behind parquet, video and pictures raise many kinds of errors, so nothing but
    their calls stands in this block.

    Raises:
        DatasetError: The block failed.
    """
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
        raise DatasetError(
            f"{path} cannot be read ({reason}); copy or download it again"
        ) from error

"""One training a run: two in one folder would remove each other's checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import PolicyError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder for the block; the system lets go of it when the process ends.

    Raises:
        PolicyError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise PolicyError(
                    f"another training (process {file.read().strip() or 'unknown'}) writes to "
                    f"'{folder}'; stop it, or name another run with run=..."
                ) from error

        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield

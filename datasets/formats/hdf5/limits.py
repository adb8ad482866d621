"""A bound on what the HDF5 library may allocate for one short piece of a file.

It takes the length of a text from the file and makes room for it before it looks whether the file
is that long: four spoiled bytes ask for four gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM_BYTES = 1 << 28
STATM = Path("/proc/self/statm")


@contextmanager
def little_memory() -> Iterator[None]:
    """Let the process grow by `ROOM_BYTES` at most meanwhile, where the system can see to that."""
    try:
        import resource

        held = int(STATM.read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):
        yield
        return
    bound = held + ROOM_BYTES
    lowered = soft == resource.RLIM_INFINITY or bound < soft
    if lowered:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        if lowered:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

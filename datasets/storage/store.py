"""Files that are either wholly there or not: the store below every data set."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path

from zarr.core.buffer import Buffer
from zarr.core.common import BytesLike
from zarr.storage import LocalStore

PARTIAL = ".partial"


class DurableStore(LocalStore):
    """zarr's `LocalStore` whose files reach the disk before their name appears.

    zarr already renames a finished temporary file over the old one, which a killed process
    survives; without the fsync a power cut could still leave the new name over empty blocks.
    """

    async def set(self, key: str, value: Buffer) -> None:
        """Write `value` under `key`, durably and atomically."""
        self._check_writable()
        await asyncio.to_thread(write_durably, self.root / key, value.as_buffer_like())

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write `value` under `key`, durably and atomically (newer codec pipelines call this)."""
        self._check_writable()
        write_durably(self.root / key, value.as_buffer_like())


def write_durably(path: Path, content: BytesLike) -> None:
    """Replace the file at `path` by `content`: temporary name, fsync, rename.

    Raises:
        OSError: The file could not be written (a full disk, say); the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

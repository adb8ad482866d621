"""Training curves on disk: one JSON line a record, and a logger that shows them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from .loggers import LoggerFactory, Nothing


class TrainingLog:
    """Appends scalars to `metrics.jsonl` in a run's folder, and to a logger.

    Args:
        folder: the run's folder; created.
        resume_at: records after this step are dropped, so that a resumed run has one history.
        logger: factory of what else shows the curves; None for nothing.
    """

    def __init__(
        self, folder: Path, resume_at: int = 0, logger: LoggerFactory | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        kept = [record for record in read_log(self.path) if record["step"] <= resume_at]
        self.path.write_text("".join(json.dumps(record) + "\n" for record in kept))
        self._file = self.path.open("a")
        self._logger = Nothing() if logger is None else logger(folder, resume_at)

    def write(self, step: int, **scalars: float) -> None:
        """Record scalars at an optimizer step; readable at once by others."""
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        self._logger.write(step, scalars)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._logger.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a `metrics.jsonl`; a half-written last line is ignored."""
    if not path.exists():
        return []

    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records

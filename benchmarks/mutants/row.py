"""What a row of the table of mutants holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        file: the source file, from the root of the repository.
        what: the fault in words.
        old: text that stands exactly once in the file.
        new: what takes its place.
        tests: pytest arguments, the smallest set that should fail.
        equivalent: why no test can tell the two apart, or "" where one must.
    """

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    @property
    def key(self) -> str:
        """A digest of the change and its tests: a row that was edited is a new row."""
        text = "\0".join((self.file, self.old, self.new, *self.tests))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Change:
    """A fault in the file of its `Target`; `tests`, where given, replace those of the target."""

    what: str
    old: str
    new: str
    tests: str = ""
    equivalent: str = ""


@dataclass(frozen=True)
class Target:
    """A source file, the tests that fit it, and faults in it."""

    file: str
    tests: str
    changes: Sequence[Change]

    def rows(self) -> list[Row]:
        return [
            Row(
                file=self.file,
                what=change.what,
                old=change.old,
                new=change.new,
                tests=tuple((change.tests or self.tests).split()),
                equivalent=change.equivalent,
            )
            for change in self.changes
        ]

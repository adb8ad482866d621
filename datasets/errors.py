"""The one error of this room: a fault the user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DatasetError(Exception):
    """A fault in a data set or its use; the message is one line: the fault and the mend."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `known`, or the list of them when none is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""

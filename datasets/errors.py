"""The one error of this room, a fault the user can mend, and the checks that raise it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral
from typing import Any

# What an int64 and the seed of a generator hold.
LARGEST = (1 << 63) - 1


class DatasetError(Exception):
    """A fault in a data set or its use; the message is one line: the fault and the mend.

    Messages name what files hold, and a file may call it anything: what does not print is escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


def whole_number(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """Return `value` when it is a whole number from `least` to `most`.

    Raises:
        DatasetError: It is not.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        bounds = f"from {least} to {most}" if most < LARGEST else f"of at least {least}"
        raise DatasetError(f"{name} is {value!r}; give a whole number {bounds}")
    return int(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `known`, or the list of them when none is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""

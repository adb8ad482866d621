"""The error of this room: one line that names the fault and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnvError(Exception):
    """A mistake a user can mend; the message is a single line."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> EnvError:
    """Return the error for a `name` that is none of `known`, suggesting the nearest one."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names) or 'none'}"
    return EnvError(f"unknown {kind} {name!r}; {hint}")

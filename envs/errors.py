"""The error of this room: one line that names the fault and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnvError(Exception):
    """A mistake a user can mend; the message is a single line."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, fallback: Iterable[str] | None = None
) -> EnvError:
    """Return the error for a `name` that is none of `known`, suggesting the nearest one.

    Args:
        kind: what the name is a name of.
        name: the unknown one.
        known: the right ones.
        fallback: those to list where none is near; None for all of `known`.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    if nearest:
        return EnvError(f"unknown {kind} {name!r}; did you mean {nearest[0]!r}?")
    listed = names if fallback is None else sorted(fallback)
    return EnvError(f"unknown {kind} {name!r}; known: {', '.join(listed) or 'none'}")

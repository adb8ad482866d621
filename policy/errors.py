"""The error that a user's mistake raises in this room: one line, naming the fault and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PolicyError(Exception):
    """A mistake in a policy's configuration, input or checkpoint; the message is one clear line."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> PolicyError:
    """Return the error for a name that is not among `known`, suggesting the nearest one."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return PolicyError(f"no {kind} named '{name}'{hint} (choices: {', '.join(choices)})")

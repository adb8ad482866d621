"""What counts as success in an environment of others: a rule that a user can write.

    info                                  info["success"] or info["is_success"]
    terminated                            every end but a time-out
    reward>=0.95                          a comparison
    info.coverage>=0.9 and steps>10       several; `and` binds tighter than `or`
    terminated and not info.crashed

A rule is read, never run: names, numbers and these few signs are all there is.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EnvError, unknown_name

QUANTITIES = ("reward", "return", "steps", "terminated", "truncated")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
SUCCESS_KEYS = ("success", "is_success")
"""Entries of `info` that mean success, in the order they are looked for."""
MAX_LENGTH = 200

_NAME = r"[A-Za-z_][\w\-/]*(?:\.[\w\-/]+)*"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(
    rf"\s*(?P<no>not\s+)?(?P<name>{_NAME})\s*(?:(?P<sign>>=|<=|==|!=|>|<)\s*(?P<number>{_NUMBER}))?\s*"
)


@dataclass(frozen=True)
class Outcome:
    """What is known after a step (or a reset, where all but `info` is nought)."""

    info: Mapping[str, Any]
    reward: float = 0.0
    return_: float = 0.0
    steps: int = 0
    terminated: bool = False
    truncated: bool = False

    def value(self, name: str) -> Any:
        """Return a quantity of a rule; None where the info does not hold it."""
        if name in QUANTITIES:
            return getattr(self, "return_" if name == "return" else name)
        found: Any = self.info
        for part in name.removeprefix("info.").split("."):
            if not isinstance(found, Mapping) or part not in found:
                return None
            found = found[part]
        return found


@dataclass(frozen=True)
class Term:
    """A quantity, compared with a number or true by itself."""

    name: str
    sign: str | None
    number: float
    negated: bool

    def holds(self, outcome: Outcome) -> bool | None:
        """Say whether it holds; None where the quantity is not there."""
        value = outcome.value(self.name)
        if value is None or np.size(value) != 1:
            return None
        try:
            number = float(np.asarray(value).item())
        except (TypeError, ValueError):
            return None
        found = bool(number) if self.sign is None else COMPARISONS[self.sign](number, self.number)
        return found != self.negated


@dataclass(frozen=True)
class Rule:
    """Any of several groups of terms, all of which have to hold."""

    groups: tuple[tuple[Term, ...], ...]

    def holds(self, outcome: Outcome) -> bool | None:
        """Say whether the rule holds; None where what it asks for is not there."""
        known = None
        for group in self.groups:
            found = [term.holds(outcome) for term in group]
            if all(found):
                return True
            if None not in found:
                known = False
        return known


class InfoRule(Rule):
    """The entry of `info` that says so itself."""

    def holds(self, outcome: Outcome) -> bool | None:
        """See Rule."""
        entries = [outcome.info[key] for key in SUCCESS_KEYS if key in outcome.info]
        return bool(entries[0]) if entries else None


def read_rule(text: str | None) -> Rule:
    """Return the rule that a text says; None says "info".

    Raises:
        EnvError: it is no rule.
    """
    if text in (None, "info"):
        return InfoRule(())
    assert text is not None
    if len(text) > MAX_LENGTH:
        raise EnvError(f"the rule of success is longer than {MAX_LENGTH} characters")
    groups = re.split(r"\sor\s", text)
    return Rule(tuple(tuple(_term(each) for each in re.split(r"\sand\s", g)) for g in groups))


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise EnvError(
            f"cannot read {text.strip()!r:.80} in the rule of success; it is 'info', 'terminated', "
            "or comparisons such as 'reward>=0.95', 'return>=200' or 'info.coverage>=0.9'"
        )
    name = found["name"]
    if name not in QUANTITIES and not name.startswith("info."):
        raise unknown_name("quantity of success", name, [*QUANTITIES, "info.NAME"])
    number = float(found["number"]) if found["number"] else 0.0
    return Term(name, found["sign"], number, negated=found["no"] is not None)

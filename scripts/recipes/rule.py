"""A recipe's rule: from facts of the data to one setting, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinoise.datasets.inspection import Facts


@dataclass(frozen=True)
class Situation:
    """What a rule may look at.

    Attributes:
        facts: of the data set.
        settled: every setting that a rule may choose, as it stands: chosen before, given by the
            user, or the default.
    """

    facts: Facts
    settled: Mapping[str, Any]


#: A value and why, or None where the rule does not apply.
Advice = tuple[Any, str] | None


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        setting: the key that it sets, `network` and the like for the choice of a slot.
        advise: what it sets it to, and why.
    """

    setting: str
    advise: Callable[[Situation], Advice]


@dataclass(frozen=True)
class Choice:
    """What a rule said of a setting.

    Attributes:
        setting: its key.
        value: what holds: the rule's, or the user's where `given`.
        reason: why the rule says so.
        given: whether the user gave it, so that the rule was not asked.
        advised: what the rule says.
    """

    setting: str
    value: Any
    reason: str
    given: bool
    advised: Any


def decide(
    rules: Sequence[Rule], facts: Facts, settled: Mapping[str, Any], given: Collection[str]
) -> list[Choice]:
    """Ask each rule in turn; later ones see what earlier ones chose.

    Args:
        rules: in the order in which they build on one another.
        facts: of the data set.
        settled: the value of each setting before.
        given: the settings that the user gave; they stay.
    """
    return list(_decided(rules, facts, dict(settled), given))


def _decided(
    rules: Sequence[Rule], facts: Facts, settled: dict[str, Any], given: Collection[str]
) -> Iterator[Choice]:
    for rule in rules:
        advice = rule.advise(Situation(facts, settled))
        if advice is None:
            continue
        value, reason = advice
        theirs = rule.setting in given
        held = settled.get(rule.setting) if theirs else value
        settled[rule.setting] = held
        yield Choice(rule.setting, held, reason=reason, given=theirs, advised=value)

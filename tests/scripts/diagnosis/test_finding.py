from __future__ import annotations

import math

import pytest

from kinoise.scripts.diagnosis.causes import CAUSES
from kinoise.scripts.diagnosis.finding import CAUSE, FACT, HINT, NOTEWORTHY, Clue, ramp, strengths


def test_an_effect_grows_from_harmless_to_grave_in_either_direction() -> None:
    assert [ramp(value, 1, 3) for value in (0, 1, 2, 3, 9)] == [0, 0, 0.5, 1, 1]
    assert [ramp(value, 3, 1) for value in (9, 3, 2, 1, 0)] == [0, 0, 0.5, 1, 1]
    assert ramp(math.nan, 0, 1) == 0
    assert ramp(math.inf, 0, 1) == 1
    assert ramp(math.inf, 1, 0) == 0


def test_clues_for_one_cause_add_up_as_independent_ones() -> None:
    clues = [Clue("delay", CAUSE, 0.5, "a"), Clue("delay", FACT, 0.5, "b")]
    ((name, strength, texts),) = strengths(clues, None)
    assert (name, texts) == ("delay", ("b", "a"))
    assert strength == pytest.approx(1 - (1 - 0.4) * (1 - 0.5))


def test_the_strongest_cause_comes_first_and_faint_ones_are_left_out() -> None:
    clues = [
        Clue("drift", HINT, 0.6, "hint"),
        Clue("history", CAUSE, 0.9, "cause"),
        Clue("stuck", HINT, 1.9 * NOTEWORTHY, "faint"),
    ]
    assert [name for name, _, _ in strengths(clues, 0.0)] == ["history", "drift"]


def test_a_policy_that_succeeds_needs_no_explanation_but_facts_stay() -> None:
    clues = [Clue("history", CAUSE, 1.0, "cause"), Clue("normalisation", FACT, 1.0, "fact")]
    assert [name for name, _, _ in strengths(clues, 1.0)] == ["normalisation"]
    assert [name for name, _, _ in strengths(clues, 0.97)] == ["normalisation"]
    assert [name for name, _, _ in strengths(clues, 0.5)] == ["normalisation", "history"]


def test_every_cause_says_what_to_try_and_how() -> None:
    verbs = ("train", "eval", "inspect", "import", "collect", "familiarity")
    for cause in CAUSES.values():
        assert cause.title
        assert cause.advice
        assert cause.command.split()[0] in verbs

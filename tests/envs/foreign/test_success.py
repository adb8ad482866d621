"""The rule of success: a tiny language, read and never run."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoise.envs.errors import EnvError
from kinoise.envs.foreign.success import COMPARISONS, Outcome, read_rule

SIGNS = {">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne}
SIGNS |= {">": operator.gt, "<": operator.lt}
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.6g}"))
TERMS = st.tuples(
    st.booleans(), st.sampled_from(["reward", "return", "steps"]), st.sampled_from(list(SIGNS)),
    NUMBERS,
)  # fmt: skip


@given(groups=st.lists(st.lists(TERMS, min_size=1, max_size=2), min_size=1, max_size=2),
       reward=NUMBERS, return_=NUMBERS, steps=st.integers(0, 100), wide=st.booleans())  # fmt: skip
def test_a_rule_holds_as_python_would_say(
    groups: Any, reward: float, return_: float, steps: int, wide: bool
) -> None:
    space = " " if wide else ""
    text = " or ".join(
        " and ".join(f"{'not ' * no}{name}{space}{sign}{space}{number:.6g}"
                     for no, name, sign, number in group) for group in groups)  # fmt: skip
    values = {"reward": reward, "return": return_, "steps": steps}
    wanted = any(
        all(SIGNS[sign](values[name], number) != no for no, name, sign, number in group)
        for group in groups
    )
    if len(text) <= 200:
        outcome = Outcome({}, reward=reward, return_=return_, steps=steps)
        assert read_rule(text).holds(outcome) == wanted


@given(st.text(max_size=250))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    refused = ""
    try:
        read_rule(text).holds(Outcome({}))
    except EnvError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused) < 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "reward>=",
        ">=0.5",
        "reward>=0.5 and",
        "reward=0.5",
        "reward>=nan",
        "reward>=inf",
        "0.5<=reward",
        "reward>=0.5>=1",
        "__import__('os').system('true')",
        "info.__class__()",
        "info[0]>1",
        "(reward>1)",
        "reward>1;steps>1",
        "x" * 1000,
        "reward" + ">" * 10_000,
    ],
)
def test_what_is_no_rule_is_named(text: str) -> None:
    with pytest.raises(EnvError):
        read_rule(text)


def test_a_misspelt_quantity_is_named_with_the_nearest() -> None:
    with pytest.raises(EnvError, match="did you mean 'reward'"):
        read_rule("rewrad>=0.5")


def test_an_attribute_of_the_info_is_no_entry() -> None:
    assert read_rule("info.keys").holds(Outcome({"a": 1})) is None


@pytest.mark.parametrize(
    ("info", "holds"),
    [
        ({}, None),
        ({"success": 1}, True),
        ({"is_success": False}, False),
        ({"success": False, "is_success": True}, False),
    ],
)
def test_by_default_the_info_says_so_itself(info: dict[str, Any], holds: bool | None) -> None:
    assert read_rule(None).holds(Outcome(info)) == holds
    assert read_rule("info").holds(Outcome(info)) == holds


@pytest.mark.parametrize("value", ["text", None, [1, 2], {"a": 1}, object()])
def test_an_entry_that_is_no_number_is_not_there(value: Any) -> None:
    assert read_rule("info.a>=1").holds(Outcome({"a": value})) is None


def test_what_is_known_to_hold_is_enough_of_an_or() -> None:
    assert read_rule("terminated or info.a").holds(Outcome({}, terminated=True)) is True
    assert read_rule("terminated or info.a").holds(Outcome({})) is False
    assert read_rule("terminated and info.a").holds(Outcome({})) is None


def test_every_comparison_is_one_of_arithmetic() -> None:
    assert COMPARISONS == SIGNS

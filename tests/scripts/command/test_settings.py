"""Settings: what a type allows, and that every config is its verb's schema."""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from omegaconf import DictConfig, OmegaConf

from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.nodes import check_arguments, check_node
from kinoise.scripts.command.settings import plain, prepare
from kinoise.scripts.command.values import Count, Positive, Refused, Seed, convert, describe
from kinoise.scripts.command.verbs import VERBS


@pytest.mark.parametrize(
    ("value", "hint", "meant"),
    [
        (3, Count, 3),
        (1e4, Count, 10_000),
        (2, Positive, 2.0),
        ("yes", bool, True),
        ("off", bool, False),
        ("runs/a", Path, Path("runs/a")),
        (3, Path, Path("3")),
        (None, Path | None, None),
        (False, Path | Literal[False] | None, False),
        ("score", Literal["success", "score"], "score"),
        ([1, 2], tuple[Count, ...], (1, 2)),
        ([], tuple[Count, ...], ()),
        (["state", 0, 2], tuple[str, int, int], ("state", 0, 2)),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
    ],
)
def test_a_value_becomes_what_its_type_asks_for(value: Any, hint: Any, meant: Any) -> None:
    converted = convert(value, hint)
    assert converted == meant
    assert type(converted) is type(meant)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (1, bool),
        (0, Count),
        (1.5, Count),
        (float("nan"), float),
        (10**400, float),
        ("", Path),
        ("a\0b", Path),
        ([1], int),
        (True, Literal["true"]),
        ([1, 2, 3], tuple[int, int]),
        ("abc", tuple[str, ...]),
        (2**32, Seed),
    ],
)
def test_a_value_of_another_kind_is_refused(value: Any, hint: Any) -> None:
    with pytest.raises(Refused):
        convert(value, hint)


def test_what_is_allowed_is_said_in_words() -> None:
    assert describe(Count | None) == "a whole number of at least 1, or null"
    assert describe(Literal["success", "score"]) == "success or score"
    assert describe(tuple[Count, ...]).startswith("a list such as [a,b], each a whole number")


def _held(kind: Any, config: DictConfig, prefix: str = "") -> None:
    """Hold the keys of a config to the fields of its schema."""
    names = {each.name for each in fields(kind)}
    optional = {each.name for each in fields(kind) if _has_default(each)}
    assert set(map(str, config)) <= names, prefix
    assert names - optional <= set(map(str, config)), prefix
    hints = get_type_hints(kind)
    for name in set(map(str, config)):
        if is_dataclass(hints[name]) and isinstance(config._get_node(name), DictConfig):
            _held(hints[name], config[name], f"{prefix}{name}.")


def _has_default(each: Any) -> bool:
    from dataclasses import MISSING

    return each.default is not MISSING or each.default_factory is not MISSING


@pytest.mark.parametrize("verb", VERBS)
def test_every_config_holds_what_its_verbs_schema_reads_and_nothing_else(verb: str) -> None:
    module = importlib.import_module(f"kinoise.scripts.{VERBS[verb].module}")
    _held(module.Settings, compose(verb))


def test_settings_are_stored_as_they_were_composed() -> None:
    settings = prepare("train", ["seed=3", "data.path=d.zarr", "logger=none"])
    stored = plain(settings)
    assert stored["data"]["path"] == "d.zarr"
    assert stored["seed"] == 3
    assert stored["policy"] == OmegaConf.to_container(compose("train").policy, resolve=True)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("n_episodes=abc", "n_episodes is 'abc'; give a whole number of at least 1"),
        ("videos=maybe", "videos is 'maybe'; give true or false"),
        (
            "+policy.n_action_steps=99",
            "'eval' has no setting 'policy.n_action_steps'; did you",
        ),
        ("device=gpu", "device is 'gpu'; give a word for a device of this machine: cpu"),
    ],
)
def test_a_refusal_names_the_setting_the_value_and_what_is_allowed(
    override: str, line: str
) -> None:
    with pytest.raises(UsageError) as caught:
        prepare("eval", ["checkpoint=x", override])
    assert str(caught.value).startswith(line)


def test_a_choice_that_is_misspelt_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'mask'"):
        prepare("train", ["data.padding=msk"])


def _made(width: int, ratio: float = 1.0, *, name: str | None = None) -> None:
    """Stand in for a constructor."""


def test_a_node_is_held_to_the_signature_of_its_constructor() -> None:
    assert check_arguments(_made, {"width": 4.0, "name": None}, "x") == {"width": 4, "name": None}
    with pytest.raises(UsageError, match=r"'x' has no setting 'wdth'; did you mean 'width'"):
        check_arguments(_made, {"wdth": 4}, "x")
    with pytest.raises(UsageError, match=r"x\.width is 0; give a whole number of at least 1"):
        check_arguments(_made, {"width": 0}, "x")
    with pytest.raises(UsageError, match=r"x\.ratio is 'a'; give a number"):
        check_arguments(_made, {"ratio": "a"}, "x")
    with pytest.raises(UsageError, match="follows from the others"):
        check_arguments(_made, {"width": 4}, "x", given={"x": ("width",)})


@pytest.mark.parametrize(
    "choice", ["", "network=dit", "network=unet1d", "encoder=image", "objective=variational_bound"]
)
def test_what_is_packaged_passes_the_check(choice: str) -> None:
    node = plain(compose("train", [choice] if choice else []).policy)
    assert check_node(node, "policy") == node

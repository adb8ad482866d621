"""Which of an environment's observations is which of a policy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinoise.envs.errors import EnvError
from kinoise.envs.foreign.matching import match_observations

ARM = {"arm/position": (3,), "arm/speed": (3,), "goal": (2,)}


def match(found: Any, expected: Any, **rename: str) -> tuple[dict[str, str], list[str]]:
    matches, notes = match_observations(found, expected, rename, "X")
    return {key: each.source for key, each in matches.items()}, notes


def test_without_expectations_names_are_kept_and_the_nameless_is_state() -> None:
    assert match(ARM, None)[0] == {key: key for key in ARM}
    assert match({"": (3,)}, None)[0] == {"state": ""}
    assert match(ARM, None, goal="target")[0]["target"] == "goal"


def test_names_are_equal_but_for_their_signs() -> None:
    expected = {"goal": (2,), "arm.position": (3,)}
    sources, notes = match(ARM, expected)
    assert sources == {"goal": "goal", "arm.position": "arm/position"}
    assert notes == []


@pytest.mark.parametrize("found", ["", "state", "observation"])
def test_a_single_observation_is_the_policys_only_one_and_that_is_said(found: str) -> None:
    sources, notes = match({found: (3,)}, {"obs": (3,)})
    assert sources == {"obs": found}
    assert notes == ["X's only observation is taken for the policy's 'obs'"]


def test_two_observations_are_never_guessed() -> None:
    with pytest.raises(EnvError, match="the policy observes 'obs'"):
        match({"a": (3,), "b": (2,)}, {"obs": (3,)})
    with pytest.raises(EnvError, match="the policy observes 'b'"):
        match({"a": (3,)}, {"a": (3,), "b": (3,)})


def test_a_missing_observation_is_named_with_the_nearest_and_how_to_rename() -> None:
    with pytest.raises(EnvError, match="did you mean 'arm/position'"):
        match(ARM, {"arm/pos": (3,)})
    with pytest.raises(EnvError, match=r"'rename=\{goal: target_xy\}'"):
        match(ARM, {"target_xy": (2,)})
    with pytest.raises(EnvError, match="did you mean 'goal'"):
        match(ARM, {"goal": (2,)}, goa="goal")


def test_a_renamed_observation_is_found() -> None:
    assert match(ARM, {"target": (2,)}, goal="target")[0] == {"target": "goal"}


@pytest.mark.parametrize(
    ("has", "wanted"), [((3,), (4,)), ((2, 3), (3, 2)), ((4,), (2, 2)), ((5, 4, 3), (4, 5, 3))]
)
def test_another_shape_is_refused(has: Any, wanted: Any) -> None:
    with pytest.raises(EnvError, match="trained on data of this environment"):
        match({"": has}, {"obs": wanted})


@pytest.mark.parametrize(
    ("has", "wanted"),
    [((), (1,)), ((1,), ()), ((3, 1), (3,)), ((1, 1), (1,)), ((3, 4, 5), (4, 5, 3))],
)
def test_a_shape_that_differs_in_form_alone_is_rearranged_and_said(has: Any, wanted: Any) -> None:
    matches, notes = match_observations({"a": has}, {"a": wanted}, {}, "X")
    value = np.arange(np.prod(has, dtype=int)).reshape(has)
    arranged = matches["a"].arrange(value)
    assert arranged.shape == wanted
    if len(has) == 3:
        assert (arranged[..., 0] == value[0]).all()
    assert len(notes) == 1

"""The rules of recipe=auto: sane for every kind of data, and monotone in what they go by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kinoise.datasets.inspection.facts import (
    ActionMeaning,
    Column,
    Facts,
    History,
    Modes,
    Pauses,
    Relations,
    StepColumn,
)
from kinoise.scripts.recipes import SCHEDULE, SHAPE, decide
from kinoise.scripts.recipes.rule import Choice

DEFAULTS: dict[str, Any] = {
    "policy.n_obs_steps": 2,
    "policy.n_action_steps": 8,
    "policy.horizon": 16,
    "policy.normalization": {},
    "policy.transforms": {},
    "network": "residual_mlp",
    "policy.network.width": 256,
    "data.batch_size": 256,
    "trainer.learning_rate": 5e-4,
    "trainer.n_steps": 10_000,
    "trainer.warmup_steps": 500,
    "trainer.ema_decay": 0.999,
}
COLUMN = Column("state[0]", -1.0, 1.0, (-0.9, 0.9), 8, 0.1, at_low=0.0, at_high=0.0, period=0.0)


def facts(**changes: Any) -> Facts:
    """Return facts of ordinary data, changed."""
    ordinary = Facts(
        n_episodes=100,
        n_steps=10_000,
        n_sampled=10_000,
        lengths=(80, 100.0, 130),
        rate_hz=10.0,
        n_pictures=0,
        left_out=(),
        obs=(COLUMN,) * 6,
        action=(COLUMN,) * 3,
        meaning=ActionMeaning("absolute", ()),
        steps=(),
        relations=Relations(6, 0, copies=(), independent=6),
        pauses=Pauses(0, 0.0, 0, 0, 0, 0, 0, 0, 0),
        motion_steps=6,
        history=History({1: 0.5, 2: 0.2, 4: 0.2}, best=2, ahead={0: 0.8}, reach=0),
        modes=Modes(16, 0.1, 0.0, 0.2, np.zeros(4)),
        starts=None,
    )
    return replace(ordinary, **changes)


def chosen(found: Facts, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what all rules make of facts."""
    given = given or {}
    settled = {**DEFAULTS, **given}
    if "policy.horizon" in given:
        settled["given.horizon"] = given["policy.horizon"]
    choices = decide([*SHAPE, *SCHEDULE], found, settled, given.keys())
    return {**settled, **{each.setting: each.value for each in choices}}


@pytest.mark.parametrize(
    "found",
    [
        facts(),
        facts(n_episodes=1, n_steps=5, lengths=(5, 5.0, 5), history=None, modes=None),
        facts(n_steps=1, lengths=(1, 1.0, 1), motion_steps=64, history=None),
        facts(n_steps=10**8, motion_steps=64, lengths=(10, 10_000.0, 10**6)),
        facts(action=(COLUMN,) * 80, motion_steps=64),
        facts(obs=(), history=None, modes=None),
    ],
)
@pytest.mark.parametrize("given", [{}, {"policy.horizon": 4}, {"policy.n_action_steps": 30}])
def test_the_chunk_fits_together_whatever_the_data_and_the_user_say(
    found: Facts, given: dict[str, Any]
) -> None:
    made = chosen(found, given)
    executed, observed = made["policy.n_action_steps"], made["policy.n_obs_steps"]
    assert executed >= 1
    assert observed >= 1
    assert made["policy.horizon"] >= observed - 1 + executed
    assert made["data.batch_size"] >= 1
    assert 0 <= made["trainer.ema_decay"] < 1
    assert 0 < made["trainer.warmup_steps"] <= made["trainer.n_steps"]
    assert {key: made[key] for key in given} == given


def test_an_episode_holds_at_least_four_plans() -> None:
    made = [chosen(facts(lengths=(4, median, 99)))["policy.n_action_steps"] for median in range(99)]
    assert made == sorted(made)
    assert all(4 * n <= max(4, median) for median, n in enumerate(made))
    assert made[-1] == 8


def test_more_data_get_wider_networks_and_no_fewer_steps() -> None:
    made = [chosen(facts(n_steps=count)) for count in (5, 500, 5_000, 50_000, 10**6)]
    for key in ("policy.network.width", "data.batch_size", "trainer.n_steps"):
        values = [each[key] for each in made]
        assert values == sorted(values)


def test_one_observation_is_enough_where_a_second_tells_nothing() -> None:
    markov = History({1: 0.2, 2: 0.2, 4: 0.2}, best=1, ahead={0: 0.8}, reach=0)
    assert chosen(facts(history=markov))["policy.n_obs_steps"] == 1
    assert chosen(facts())["policy.n_obs_steps"] == 2


def test_outliers_change_the_scaling_of_their_key_alone() -> None:
    far = replace(COLUMN, label="force[2]", central=(-0.01, 0.01))
    assert list(chosen(facts(obs=(COLUMN, far)))["policy.normalization"]) == ["force"]
    assert chosen(facts())["policy.normalization"] == {}


def test_steps_of_known_length_teach_the_way_back_and_angles_get_sine_and_cosine() -> None:
    made = chosen(
        facts(
            obs=(COLUMN, replace(COLUMN, label="pose[2]", period=6.283)),
            steps=(
                StepColumn(3, 0, label="state[0]", gain=1.0009, blocked=0.1),
                StepColumn(0, 7, label="pose[1]", gain=0.5, blocked=0.0),
                StepColumn(1, 6, label="pose[0]", gain=-2.0, blocked=0.0),
            ),
        )
    )["policy.transforms"]
    assert list(made) == ["recovery_state", "recovery_pose", "sin_cos_pose"]
    pose = made["recovery_pose"]
    assert (pose["key_columns"], pose["columns"], pose["gain"]) == ([1, 0], [0, 1], [0.5, -2.0])
    assert made["recovery_state"]["gain"] == [1.0]
    assert made["sin_cos_pose"]["columns"] == [2]
    assert chosen(facts())["policy.transforms"] == {}


def test_the_width_is_left_to_networks_that_have_another() -> None:
    choices = decide(SHAPE, facts(), {**DEFAULTS, "network": "unet1d"}, {"network"})
    assert "policy.network.width" not in [each.setting for each in choices]


def test_what_is_given_holds_and_the_rule_is_still_told() -> None:
    choices = decide(SHAPE, facts(), {**DEFAULTS, "policy.horizon": 40}, {"policy.horizon"})
    (choice,) = (each for each in choices if each.setting == "policy.horizon")
    assert choice == Choice("policy.horizon", 40, choice.reason, given=True, advised=16)


def test_every_choice_has_a_reason() -> None:
    assert all(each.reason for each in decide([*SHAPE, *SCHEDULE], facts(), DEFAULTS, set()))

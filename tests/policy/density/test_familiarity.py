from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from kinoise.policy.density.familiarity import N_STEPS, Familiarity, surprise
from kinoise.policy.density.likelihood import chunk_log_likelihood
from kinoise.policy.errors import PolicyError


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_without_a_previous_plan_surprise_is_the_negative_log_likelihood() -> None:
    policy, obs = tiny.policy(), tiny.batch(0, 4)["obs"]
    plan = policy.sample(obs, seeded())
    expected = -chunk_log_likelihood(policy, obs, plan, N_STEPS, "hutchinson", seeded())
    assert torch.equal(surprise(policy, obs, plan, None, seeded()), expected)
    nowhere = torch.full_like(plan, torch.nan)
    assert torch.equal(surprise(policy, obs, plan, nowhere, seeded()), expected)


def test_the_previous_plan_is_continued_by_the_present_one() -> None:
    """A previous plan that ends as the present one begins says the same thing twice."""
    policy, obs = tiny.policy(), tiny.batch(0, 4)["obs"]
    plan = policy.sample(obs, seeded())
    previous = torch.cat([torch.zeros_like(plan[:, :4]), plan[:, :4]], 1)
    generator = seeded()
    alone = -chunk_log_likelihood(policy, obs, plan, N_STEPS, "hutchinson", generator)
    again = -chunk_log_likelihood(policy, obs, plan, N_STEPS, "hutchinson", generator)
    assert torch.equal(surprise(policy, obs, plan, previous, seeded()), alone + again)
    away = surprise(policy, obs, plan, previous + 10, seeded())
    assert bool((away > alone + again).all())


def test_the_limit_leaves_out_the_rate_it_was_fitted_for() -> None:
    rng = np.random.default_rng(0)
    is_first = np.arange(4000) % 5 == 0
    surprises = np.where(is_first, rng.normal(-250, 20, 4000), rng.normal(-440, 60, 4000))
    familiarity = Familiarity.fit(surprises, is_first, rate=0.01)
    scores = familiarity.score(surprises, is_first)
    for kind in (is_first, ~is_first):
        assert np.median(scores[kind]) == pytest.approx(0, abs=1e-6)
        assert (scores[kind] > 1).mean() == pytest.approx(0.01, abs=2e-3)
    assert familiarity.first[0] == pytest.approx(-250, abs=3)
    assert familiarity.later[0] == pytest.approx(-440, abs=5)


@pytest.mark.parametrize(
    ("surprises", "is_first"),
    [([1.0, 2.0], [True, True]), ([1.0, 2.0], [False, False]), ([1.0, np.nan], [True, False])],
)
def test_a_limit_needs_finite_surprises_of_both_kinds(
    surprises: list[float], is_first: list[bool]
) -> None:
    with pytest.raises(PolicyError, match="check the data set and the checkpoint"):
        Familiarity.fit(np.array(surprises), np.array(is_first), rate=0.01)

"""Couplings of noise and data: permutations, costs, marginals."""

from __future__ import annotations

import math
import sys

import pytest
import tiny
import torch

from kinoise.policy.build import build
from kinoise.policy.errors import PolicyError
from kinoise.policy.training.couplings import (
    Coupling,
    Hungarian,
    Reflow,
    Sinkhorn,
    transport_cost,
)


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sample = 0.3 * torch.randn(64, 4, 2, generator=generator).sign()
    return sample, torch.randn(64, 4, 2, generator=generator)


def _cost(sample: torch.Tensor, noise: torch.Tensor) -> float:
    return float(((sample - noise) ** 2).sum())


def test_the_hungarian_coupling_permutes_the_noise_and_never_costs_more() -> None:
    sample, noise = _batch()
    data, paired = Hungarian()(sample, noise, {})
    assert data is sample
    assert sorted(paired[:, 0, 0].tolist()) == sorted(noise[:, 0, 0].tolist())
    assert _cost(sample, paired) < _cost(sample, noise)
    swapped = paired.clone()
    swapped[[0, 1]] = paired[[1, 0]]
    assert _cost(sample, paired) <= _cost(sample, swapped)


def test_on_a_line_the_optimal_coupling_is_the_sorted_one() -> None:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(50, 1, 1, generator=generator)
    noise = torch.randn(50, 1, 1, generator=generator)
    _, paired = Hungarian()(sample, noise, {})
    order = sample.flatten().argsort()
    assert (paired.flatten()[order].diff() >= 0).all()


def test_noise_stays_with_the_observation_it_was_drawn_for_as_far_as_that_is_worth() -> None:
    sample, noise = _batch()
    obs = {"state": torch.randn(64, 2, 3, generator=torch.Generator().manual_seed(5))}
    free = Hungarian(condition_weight=0.0)(sample, noise, obs)[1]
    assert torch.equal(free, Hungarian()(sample, noise, {})[1])
    assert torch.equal(Hungarian(condition_weight=1e6)(sample, noise, obs)[1], noise)
    # Two observations seen many times: noise changes hands within each, never between them.
    twice = {"state": torch.arange(64).remainder(2)[:, None, None].float()}
    within = Hungarian(condition_weight=1e3)(sample, noise, twice)[1]
    source = [int((noise == chunk).flatten(1).all(1).nonzero()) for chunk in within]
    assert all(i % 2 == j % 2 for i, j in enumerate(source))
    assert _cost(sample, within) < _cost(sample, noise)


def test_sinkhorn_tends_to_the_optimal_coupling_and_draws_from_the_given_noise() -> None:
    sample, noise = _batch()
    torch.manual_seed(0)
    _, paired = Sinkhorn(regularisation=0.01, n_iterations=2000)(sample, noise, {})
    best = _cost(sample, Hungarian()(sample, noise, {})[1])
    assert set(paired[:, 0, 0].tolist()) <= set(noise[:, 0, 0].tolist())
    assert _cost(sample, paired) < 1.1 * best


def test_a_coupling_moves_noise_at_its_default_settings() -> None:
    """Observations that all differ: with a fixed weight of 10 hardly any noise changed hands."""
    generator = torch.Generator().manual_seed(0)
    sample = 0.3 * torch.randn(256, 16, 2, generator=generator)
    noise = torch.randn(256, 16, 2, generator=generator)
    obs = {"state": torch.randn(256, 2, 5, generator=generator)}
    paired = Hungarian()(sample, noise, obs)[1]
    moved = (paired != noise).flatten(1).any(1).float().mean()
    assert 0.3 < moved < 0.99
    assert _cost(sample, paired) < _cost(sample, noise)


@pytest.mark.parametrize("candidates", [0.003, 0.01, 0.1])
def test_the_weight_leaves_as_many_cheaper_noises_as_are_asked_for(candidates: float) -> None:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(128, 4, 2, generator=generator)
    noise = torch.randn(128, 4, 2, generator=generator)
    obs = {"state": torch.randn(128, 2, 3, generator=generator)}
    cost = transport_cost(sample, noise, obs, None, candidates)
    cheaper = (cost < cost.diagonal()[:, None]).float().sum() / (128 * 127)
    assert cheaper == pytest.approx(candidates, abs=1e-3)


@pytest.mark.parametrize("coupling", [Hungarian(), Sinkhorn(), Hungarian(10.0)])
def test_a_batch_of_one_keeps_its_noise(coupling: Coupling) -> None:
    sample, noise = _batch()
    obs = {"state": torch.randn(1, 2, 3)}
    assert torch.equal(coupling(sample[:1], noise[:1], obs)[1], noise[:1])


@pytest.mark.parametrize(
    "settings", [{"condition_weight": -1.0}, {"candidates": 0.0}, {"candidates": 2.0}]
)
def test_weights_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match="condition_weight"):
        Hungarian(**settings)


def test_reflow_pairs_the_noise_with_the_teachers_own_chunk() -> None:
    teacher = tiny.policy().eval()
    batch = tiny.batch(0)
    noise = torch.randn(16, 8, 2)
    coupling = Reflow("runs/teacher").taught_by(teacher)
    chunk, same = coupling(torch.zeros(16, 8, 2), noise, batch["obs"])
    assert same is noise
    torch.testing.assert_close(chunk, teacher.transport(batch["obs"], noise))


def test_reflow_refuses_a_teacher_that_draws_fresh_noise() -> None:
    node = tiny.node(sampler={"_target_": "kinoise.policy.sampling.Sampler", "solver": "ddpm"})
    with pytest.raises(PolicyError, match="deterministic teacher"):
        Reflow("runs/teacher").taught_by(tiny.randomised(build(node)))


def test_reflow_says_that_it_has_no_teacher() -> None:
    with pytest.raises(PolicyError, match="not been handed its teacher 'runs/teacher'"):
        Reflow("runs/teacher")(torch.zeros(16, 8, 2), torch.randn(16, 8, 2), {})


@pytest.mark.parametrize("coupling", ["hungarian", "sinkhorn"])
def test_a_missing_library_is_named_with_its_extra(
    coupling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "ot", None)
    sample, noise = _batch()
    with pytest.raises(PolicyError, match=r"kinoise\[theory\]"):
        {"hungarian": Hungarian(), "sinkhorn": Sinkhorn()}[coupling](sample, noise, {})


def test_sinkhorn_draws_from_its_plan_and_does_not_take_the_likeliest() -> None:
    """Data that are all alike: every noise is as good, and is drawn as often as any other."""
    noise = torch.randn(200, 2, 1, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    _, paired = Sinkhorn()(torch.zeros(200, 2, 1), noise.sign(), {})
    assert abs(float(paired.mean())) < 0.3
    _, paired = Sinkhorn(regularisation=50.0)(torch.zeros(200, 2, 1), noise, {})
    # A draw of 200 from 200 with replacement leaves a fraction 1/e of them out.
    drawn = len(set(paired[:, 0, 0].tolist())) / 200
    assert drawn == pytest.approx(1 - math.exp(-1), abs=0.1)


def test_the_units_of_an_observation_do_not_change_the_pairs() -> None:
    sample, noise = _batch()
    state = torch.randn(64, 2, 3, generator=torch.Generator().manual_seed(5))
    units = torch.tensor([1000.0, 1.0, 0.001])
    costs = [
        transport_cost(sample, noise, {"state": each}, weight=2.0, candidates=0.1)
        for each in (state, state * units + 7.0)
    ]
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-3, atol=1e-3)

"""The slot as a whole: every option builds and samples, edits compose, and nothing is wasted."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from omegaconf import OmegaConf
from torch import Tensor

from kinoise.policy.build import build
from kinoise.policy.guidance import (
    Box,
    ClassifierFree,
    CostGradient,
    DynamicClamp,
    EnergyGradient,
    Inpainting,
    Projection,
    PseudoInverse,
    prefix_weights,
)
from kinoise.policy.guidance.costs import Goal
from kinoise.policy.guidance.estimate import Estimate
from kinoise.scripts.command import catalogue

#: What a task or a user says of the limits; in the range of the tiny policy's actions.
LIMITS = {
    "low": [-1.0, -1.0],
    "high": [2.0, 2.0],
    "step": 0.5,
    "disc": {"centre": [0.5, 0.5], "radius": 0.5},
}
FILES = sorted((catalogue.config_folder() / "guidance").glob("*.yaml"))


def _options(name: str) -> list[Any]:
    file = catalogue.config_folder() / "guidance" / f"{name}.yaml"
    tree = OmegaConf.merge(OmegaConf.load(file), {"limits": LIMITS})
    given: Any = OmegaConf.to_container(tree, resolve=True)
    options: list[Any] = build(given.get("policy", given)["guidance"])
    return options


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_every_option_of_the_slot_samples(name: str) -> None:
    policy = tiny.policy(obs_dropout=0.1).eval()
    policy.set_guidance(_options(name))
    chunk = policy.sample(tiny.batch(0, size=3)["obs"], torch.Generator().manual_seed(0))
    assert chunk.shape == (3, 8, 2)
    assert torch.isfinite(chunk).all()


def _quadratic(x: Tensor, t: float, obs: Any) -> Tensor:
    return 0.5 * x.square().sum((-2, -1))


def test_all_edits_compose() -> None:
    policy, obs = tiny.policy(obs_dropout=0.1).eval(), tiny.batch(0, size=3)["obs"]
    known = torch.full((8, 2), 0.5)
    chunk = policy.sample(
        obs,
        torch.Generator().manual_seed(0),
        guidance=[
            ClassifierFree(2.0, rescale=0.5),
            EnergyGradient(_quadratic, 0.1),
            CostGradient(Goal([2.0, 2.0])),
            PseudoInverse(known, prefix_weights(8, 2, 3)),
            DynamicClamp(),
            Projection(Box([0.0, 0.0], [1.5, 1.5])),
            Inpainting(known, prefix_weights(8, 2)),
        ],
    )
    torch.testing.assert_close(chunk[:, :2], known[:2].expand(3, 2, 2))
    assert (chunk > -1e-5).all()
    assert (chunk < 1.5 + 1e-5).all()


def test_the_order_of_edits_counts() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=1)["obs"]
    hold, bound = Inpainting(torch.full((8, 2), 3.0)), Projection(Box([0.0, 0.0], [1.0, 1.0]))
    first = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[hold, bound])
    last = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[bound, hold])
    torch.testing.assert_close(first, torch.ones(1, 8, 2))
    torch.testing.assert_close(last, torch.full((1, 8, 2), 3.0))


@pytest.mark.parametrize(
    ("edit", "gradient"),
    [
        (ClassifierFree(), False),
        (DynamicClamp(), False),
        (Projection(Box([0.0, 0.0], [1.0, 1.0])), False),
        (Inpainting(torch.zeros(8, 2)), False),
        (EnergyGradient(_quadratic), False),
        (CostGradient(Goal([1.0, 1.0])), True),
        (PseudoInverse(torch.zeros(8, 2)), True),
    ],
)
def test_the_network_runs_with_gradients_only_for_edits_that_ask(edit: Any, gradient: bool) -> None:
    policy, seen = tiny.policy(obs_dropout=0.1).eval(), []
    run = policy.network.denoise

    def watched(x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        denoised: Tensor = run(x, times, condition)
        seen.append(denoised.requires_grad)
        return denoised

    policy.network.denoise = watched
    chunk = policy.sample(tiny.batch(0, size=1)["obs"], guidance=[edit])
    assert set(seen) == {gradient}
    assert not chunk.requires_grad
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_a_policy_without_edits_builds_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop without guidance is as it was: no edit, no clone, no record of the level."""

    def refuse(*_: Any, **__: Any) -> Estimate:
        raise AssertionError("an estimate was built")

    monkeypatch.setattr("kinoise.policy.guidance.guided.Estimate", refuse)
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=1)["obs"]
    policy.sample(obs)
    with pytest.raises(AssertionError, match="was built"):
        policy.sample(obs, guidance=[DynamicClamp()])


def test_an_edit_that_changes_nothing_gives_the_same_chunk() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=2)["obs"]
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    free = Inpainting(torch.full((8, 2), torch.nan))
    for edit in (free, CostGradient(Goal([0.0, 0.0]), interval=(2.0, 3.0))):
        guided = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
        torch.testing.assert_close(guided, plain, rtol=0, atol=1e-5)


def test_the_policys_own_edits_come_first_and_can_be_replaced() -> None:
    one = {
        "_target_": "kinoise.policy.guidance.Projection",
        "onto": {"_target_": "kinoise.policy.guidance.Box", "low": [0, 0], "high": [1, 1]},
    }
    policy, obs = tiny.policy(guidance=[one]).eval(), tiny.batch(0, size=1)["obs"]
    assert (policy.sample(obs) <= 1 + 1e-5).all()
    held = policy.sample(obs, guidance=[Inpainting(torch.full((8, 2), 2.0))])
    torch.testing.assert_close(held, torch.full((1, 8, 2), 2.0))
    policy.set_guidance([])
    assert (policy.sample(obs) > 1).any()

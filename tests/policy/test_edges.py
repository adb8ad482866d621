"""The edges of a policy's settings: numbers, types, shapes and changes of mind."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from registry import PATHS

from kinoise.policy import PolicyError
from kinoise.policy.build import build
from kinoise.policy.density.likelihood import chunk_log_likelihood
from kinoise.policy.guidance import Box, ClassifierFree, CostGradient, Projection
from kinoise.policy.guidance.costs import Goal
from kinoise.policy.paths import LearnedGamma, Path
from kinoise.policy.sampling import Sampler
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.training import weights
from kinoise.policy.training.objectives import Denoising
from kinoise.policy.training.times import PerToken, TimeDistribution, Uniform

ROOM = "kinoise.policy"


class AtTheEnd(TimeDistribution):
    """Draws the last time of every distribution: the largest u below 1, or 1 itself."""

    def quantile(self, u: torch.Tensor, path: Path) -> torch.Tensor:
        return torch.ones_like(u)


WEIGHTS = {
    "none": None,
    "sample": weights.Sample(),
    "snr": weights.SNR(),
    "min_snr": weights.MinSNR(),
    "elbo": weights.ELBO(),
    "sigmoid": weights.Sigmoid(),
    "edm": weights.EDM(),
    "targets": weights.Targets({"v_prediction": 1.0}),
}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("target", ["epsilon", "v_prediction", "score"])
def test_the_loss_is_finite_at_the_last_time_whatever_the_weight(
    target: str, name: str, weight: str
) -> None:
    policy = tiny.policy(path=_path_node(name))
    policy.objective = Denoising(target, AtTheEnd(), WEIGHTS[weight])
    policy.denoiser.target = target
    loss = policy.compute_loss(tiny.batch(0, 4))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in policy.network.parameters() if p.grad is not None)


def _path_node(name: str) -> dict[str, Any]:
    nodes = {
        "previous_chunk": {"has_base": True, "spread": 0.3},
        "generalised_vp": {"exponent": 1.5},
    }
    cls = type(PATHS[name]).__name__
    return {"_target_": f"{ROOM}.paths.{cls}", **nodes.get(name, {})}


@pytest.mark.parametrize("times", [Uniform(), PerToken(Uniform())])
def test_times_are_always_below_one(times: TimeDistribution) -> None:
    """(strata + rand) / batch rounds to 1 in one of 6000 draws of this size."""
    path = PATHS["linear_flow"]
    for seed in range(40):
        t = times.sample(4096, 16, path, torch.Generator().manual_seed(seed))
        assert t.max() < 1


def test_a_weighted_error_teaches_a_learned_path_nothing() -> None:
    path = LearnedGamma(gamma_min=-8.0)
    for weight in (weights.ELBO(), weights.Learned(weights.EDM())):
        policy = tiny.policy(path={"_target_": f"{ROOM}.paths.LearnedGamma", "gamma_min": -8.0})
        policy.objective = Denoising("v_prediction", weight=weight)
        policy.denoiser.target = "v_prediction"
        policy.compute_loss(tiny.batch(0)).backward()
        assert all(p.grad is None for p in policy.path.parameters())
    assert isinstance(policy.path, type(path))


@pytest.mark.parametrize("mode", ["minmax", "standard", "identity"])
def test_no_normalisation_cuts_the_datas_range(mode: str) -> None:
    """The clamp is one of the data's own range: its ends come back, and nothing beyond them."""
    policy = tiny.policy(normalization={"action": mode})
    low, high = torch.tensor([-2.0, -3.0]), torch.tensor([4.0, 30.0])
    stats = tiny.statistics(policy)
    stats["action"] = {"min": low, "max": high, "mean": low / 2, "std": high / 9}
    policy.fit_normalizer(stats)
    clamp = policy.eval().border.clamp({})
    ends = policy.normalizer.normalize("action", torch.stack([low, high]))
    torch.testing.assert_close(clamp(ends.clone()), ends)
    far = policy.normalizer.unnormalize("action", clamp(100 * ends))
    torch.testing.assert_close(far, torch.stack([low, high]), rtol=1e-5, atol=1e-5)


def test_a_clamp_does_not_undo_a_projection() -> None:
    """The set lies beyond the data's range, where the clamp would bring the chunk back."""
    policy = tiny.policy().eval()
    beyond = Projection(Box([5.0, 5.0], [6.0, 6.0]))
    chunk = policy.sample(tiny.batch(0, 2)["obs"], guidance=[beyond])
    assert ((chunk >= 5 - 1e-5) & (chunk <= 6 + 1e-5)).all()


@pytest.mark.parametrize("change", ["load_state_dict", "to", "double"])
def test_cached_features_follow_the_weights(change: str) -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, 1)["obs"]
    noise = torch.randn(1, 8, 2)
    policy.transport(obs, noise)
    other = tiny.randomised(build(tiny.node())).eval()
    if change == "load_state_dict":
        policy.load_state_dict(other.state_dict())
        assert torch.equal(policy.transport(obs, noise), other.transport(obs, noise))
    elif change == "to":
        before = policy.transport(obs, noise)
        assert torch.equal(policy.to("cpu").transport(obs, noise), before)
        assert policy._cached is not None
        policy.to("cpu")
        assert policy._cached is None
    else:
        assert policy.double().transport(obs, noise).dtype == torch.float64


@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_a_policy_in_double_precision_trains_and_samples(network: str) -> None:
    policy = tiny.policy(network).double()
    policy.compute_loss(tiny.batch(0, 4)).backward()
    chunk = policy.eval().sample(tiny.batch(0, 2)["obs"], torch.Generator().manual_seed(0))
    single = (
        tiny.policy(network)
        .eval()
        .sample(tiny.batch(0, 2)["obs"], torch.Generator().manual_seed(0))
    )
    assert chunk.dtype == torch.float64
    torch.testing.assert_close(chunk.float(), single, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_a_policy_in_bfloat16_samples_in_the_datas_units(network: str) -> None:
    policy = tiny.policy(network).to(torch.bfloat16).eval()
    chunk = policy.sample(tiny.batch(0, 2)["obs"], torch.Generator().manual_seed(0))
    single = (
        tiny.policy(network)
        .eval()
        .sample(tiny.batch(0, 2)["obs"], torch.Generator().manual_seed(0))
    )
    assert chunk.dtype == torch.float32
    assert (chunk - single).abs().mean() < 0.2


@pytest.mark.parametrize("along", ["linear_flow", "vp_cosine", "trigonometric", "vp_linear"])
@pytest.mark.parametrize("trained", ["ve", "edm", "vp_linear"])
@pytest.mark.parametrize("n", [1, 10, 100, 500])
def test_any_other_path_is_walked_in_any_number_of_steps(trained: str, along: str, n: int) -> None:
    table = Sampler("ddim", n, UniformTime(), path=along).table(PATHS[trained])
    assert table.n_evaluations == n
    assert (table.t.diff() < 0).all()
    assert table.t[0] <= 1


def test_a_staggered_policy_has_a_likelihood() -> None:
    policy = tiny.policy(
        objective={
            **tiny.objective("velocity"),
            "times": {
                "_target_": f"{ROOM}.training.times.PerToken",
                "base": {"_target_": f"{ROOM}.training.times.Uniform"},
            },
        }
    ).eval()
    batch = tiny.batch(0, 2)
    plain = chunk_log_likelihood(policy, batch["obs"], batch["action"], n_steps=9)
    policy.set_sampler(Sampler("ddim", 4, delay=0.5))
    staggered = chunk_log_likelihood(policy, batch["obs"], batch["action"], n_steps=9)
    torch.testing.assert_close(plain, staggered)


def test_rescaled_guidance_of_a_single_number_is_finite() -> None:
    policy = tiny.policy(
        horizon=1, n_obs_steps=1, n_action_steps=1, action_dim=1, obs_dropout=0.1
    ).eval()
    obs = {key: value[:, :1] for key, value in tiny.batch(0, 2)["obs"].items()}
    chunk = policy.sample(obs, guidance=[ClassifierFree(3.0, rescale=0.7)])
    assert chunk.isfinite().all()


def test_a_cost_of_scale_zero_changes_nothing() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, 2)["obs"]
    edits = [CostGradient(Goal([9.0, 9.0]), scale=0.0)]
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    guided = policy.sample(obs, torch.Generator().manual_seed(0), guidance=edits)
    torch.testing.assert_close(guided, plain)


def test_a_path_from_the_previous_chunk_needs_some_of_it_to_be_left() -> None:
    node = tiny.node(
        n_obs_steps=1,
        n_action_steps=8,
        path={"_target_": f"{ROOM}.paths.Interpolant", "has_base": True},
    )
    with pytest.raises(PolicyError, match="n_action_steps must be below horizon = 8"):
        build(node)


def test_an_empty_batch_gives_no_chunks_and_no_loss() -> None:
    policy, batch = tiny.policy(), tiny.batch(0, 0)
    assert policy.eval().sample(batch["obs"]).shape == (0, 8, 2)
    with pytest.raises(PolicyError, match="batch is empty"):
        policy.train().compute_loss(batch)


def test_observations_of_another_shape_are_named() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, 1)["obs"]
    with pytest.raises(PolicyError, match=r"'agent_pos' has shape \[1, 3, 2\].*\[batch, 2, 2\]"):
        policy.sample({**obs, "agent_pos": torch.zeros(1, 3, 2)})
    with pytest.raises(PolicyError, match="2 generators for 1 observations"):
        policy.sample(obs, [torch.Generator(), torch.Generator()])


@pytest.mark.parametrize(
    "change",
    [
        {"horizon": 0},
        {"action_dim": -1},
        {"n_obs_steps": 0},
        {"n_action_steps": 1.5},
        {"obs_shapes": {}},
        {"obs_dropout": 1.5},
        {"clip_sample": 0.0},
        {"normalization": {"actoin": "standard"}},
    ],
    ids=str,
)
def test_numbers_that_make_no_policy_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        tiny.randomised(build(tiny.node(**change)))

"""The policy: slots compose, sampling is stateless and independent of the batch."""

from __future__ import annotations

import pytest
import tiny
import torch
from registry import every_path

from kinoise.policy.build import build
from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance.estimate import Estimate
from kinoise.policy.paths import LinearFlow, Path
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.sampling.registry import SOLVERS
from kinoise.policy.sampling.sampler import Sampler

EVERY_NETWORK = pytest.mark.parametrize("network", list(tiny.NETWORKS))


def _generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@EVERY_NETWORK
def test_a_chunk_has_the_horizon_and_stays_within_the_data(network: str) -> None:
    policy = tiny.policy(network).eval()
    chunk = policy.sample(tiny.batch(0)["obs"])
    assert chunk.shape == (16, 8, 2)
    # clip_sample bounds the normalised chunk, and the data's range is [-2, 4].
    assert (chunk >= -2 - 1e-5).all()
    assert (chunk <= 4 + 1e-5).all()


@EVERY_NETWORK
def test_sampling_depends_on_the_generator_alone(network: str) -> None:
    policy, obs = tiny.policy(network).eval(), tiny.batch(0, size=2)["obs"]
    first = policy.sample(obs, _generators(1, 2))
    torch.randn(1000)
    assert torch.equal(first, policy.sample(obs, _generators(1, 2)))
    assert not torch.equal(first, policy.sample(obs, _generators(1, 3)))


@EVERY_NETWORK
def test_a_row_is_the_same_alone_and_in_a_batch(network: str) -> None:
    policy, obs = tiny.policy(network).eval(), tiny.batch(0, size=5)["obs"]
    together = policy.sample(obs, _generators(0, 1, 2, 3, 4))
    alone = policy.sample({key: value[3:4] for key, value in obs.items()}, _generators(3))
    torch.testing.assert_close(together[3:4], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", [name for name, s in SOLVERS.items() if s.jumps])
def test_a_solver_that_jumps_is_refused_where_the_network_predicts_means(solver: str) -> None:
    policy = tiny.policy()
    with pytest.raises(PolicyError, match="predicts means"):
        policy.set_sampler(Sampler(solver, 3, UniformTime()))


@pytest.mark.parametrize("solver", ["heun", "pndm"])
def test_a_grid_on_which_a_solver_magnifies_every_error_is_refused(solver: str) -> None:
    with pytest.raises(PolicyError, match="multiply the network's errors by"):
        tiny.policy().set_sampler(Sampler(solver, 2, UniformTime()))


@pytest.mark.parametrize("solver", [name for name, s in SOLVERS.items() if s.order is not None])
def test_the_last_row_of_every_deterministic_solver_is_its_last_estimate(solver: str) -> None:
    """Only then does a clamp or a projection of every estimate hold for the chunk."""
    for n in (1, 2, 5, 20):
        table = Sampler(solver, n, UniformTime(0.98)).table(LinearFlow())
        last = torch.zeros(table.n_evaluations, dtype=torch.float64)
        last[-1] = 1
        torch.testing.assert_close(table.estimate[-1], last, atol=1e-9, rtol=0)
        assert abs(table.init[-1]) < 1e-9


@pytest.mark.parametrize("solver", [name for name, s in SOLVERS.items() if not s.jumps])
def test_every_solver_samples_the_same_policy(solver: str) -> None:
    policy = tiny.policy().eval()
    policy.set_sampler(Sampler(solver, 3, UniformTime(0.98)))
    assert torch.isfinite(policy.sample(tiny.batch(0)["obs"])).all()


def test_predict_action_is_the_executed_part_of_the_chunk() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=1)["obs"]
    chunk = policy.sample(obs, _generators(4))
    assert torch.equal(policy.predict_action(obs, _generators(4)), chunk[:, 1:5])


def test_an_edit_changes_the_estimate_at_every_row() -> None:
    policy, seen = tiny.policy().eval(), []

    def hold(estimate: Estimate) -> torch.Tensor:
        seen.append(estimate.row)
        return torch.full_like(estimate.sample, 0.25)

    chunk = policy.sample(tiny.batch(0)["obs"], guidance=[hold])
    assert seen == [0, 1, 2, 3]
    torch.testing.assert_close(chunk, torch.full_like(chunk, 1 + 3 * 0.25))


def test_training_learns_a_simple_behaviour() -> None:
    policy = tiny.policy()
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for number in range(400):
        torch.manual_seed(number)
        policy.compute_loss(tiny.batch(number, 64)).backward()
        optimizer.step()
        optimizer.zero_grad()
    batch = tiny.batch(10_001, 64)
    error = (policy.eval().sample(batch["obs"]) - batch["action"]).abs().mean()
    assert error < 0.25  # the actions' own spread is 1


def test_switching_to_training_and_back_forgets_cached_features() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=1)["obs"]
    before = policy.sample(obs, _generators(0))
    with torch.no_grad():
        for parameter in policy.train().parameters():
            parameter.mul_(1.5)
    assert not torch.equal(before, policy.eval().sample(obs, _generators(0)))


def test_an_image_policy_runs_through_the_same_code() -> None:
    torch.manual_seed(0)
    policy = tiny.randomised(build(tiny.image_node()))
    batch = tiny.batch(0, size=4, shapes=tiny.IMAGE_SHAPES)
    policy.compute_loss(batch).backward()
    gradients = [p.grad.abs().max() for p in policy.encoder.parameters() if p.grad is not None]
    assert len(gradients) == len(list(policy.encoder.parameters()))
    assert all(gradient > 0 for gradient in gradients)
    assert policy.eval().sample(batch["obs"]).shape == (4, 8, 2)


def test_mistakes_in_the_slots_are_named() -> None:
    with pytest.raises(PolicyError, match="horizon 8 is too short"):
        tiny.policy(n_action_steps=8)
    cosine = {"_target_": "kinoise.policy.paths.VPCosine"}
    epsilon = {"_target_": "kinoise.policy.training.objectives.Denoising", "target": "epsilon"}
    with pytest.raises(PolicyError, match=r"start later \(policy.sampler.grid.start=0.999\)"):
        tiny.policy(path=cosine, objective=epsilon)
    with pytest.raises(PolicyError, match="lacks \\['keypoint'\\]"):
        tiny.policy().sample({"agent_pos": torch.zeros(1, 2, 2)})


def test_dropped_observations_are_those_of_no_observation() -> None:
    policy = tiny.policy(obs_dropout=1.0)
    batch = tiny.batch(0)
    other = {**batch, "obs": {k: v + 1 for k, v in batch["obs"].items()}}
    losses = [policy.compute_loss(b, torch.Generator().manual_seed(0)) for b in (batch, other)]
    assert losses[0] == losses[1]
    losses[0].backward()
    assert policy.no_obs.grad.abs().max() > 0


class Blind:
    """Stands in for the estimate the one without an observation."""

    needs_gradient, needs_unconditional = False, True

    def __call__(self, estimate: Estimate) -> torch.Tensor:
        return estimate.without_obs()


def test_without_an_observation_the_estimate_ignores_it() -> None:
    policy = tiny.policy(obs_dropout=0.1).eval()
    chunks = [
        policy.sample(
            tiny.batch(number)["obs"], torch.Generator().manual_seed(0), guidance=[Blind()]
        )
        for number in (0, 1)
    ]
    assert torch.equal(*chunks)


def test_comparing_with_no_observation_needs_dropout_in_training() -> None:
    with pytest.raises(PolicyError, match=r"obs_dropout > 0"):
        tiny.policy().set_guidance([Blind()])
    with pytest.raises(PolicyError, match=r"obs_dropout > 0"):
        tiny.policy().eval().sample(tiny.batch(0)["obs"], guidance=[Blind()])


def test_an_edit_that_compares_without_saying_so_is_told() -> None:
    with pytest.raises(PolicyError, match="needs_unconditional"):
        tiny.policy(obs_dropout=0.1).eval().sample(
            tiny.batch(0)["obs"], guidance=[lambda estimate: estimate.without_obs()]
        )


@every_path
def test_the_estimator_is_the_estimate_of_the_sampler(path: Path) -> None:
    node = {"_target_": "kinoise.policy.training.objectives.Denoising", "target": "v_prediction"}
    policy = tiny.policy(objective=node)
    policy.path = path
    policy.set_sampler(policy.sampler)
    policy.eval()
    obs, seen = tiny.batch(0)["obs"], []

    def watch(estimate: Estimate) -> torch.Tensor:
        seen.append((estimate.t, estimate.x.clone(), estimate.sample.clone()))
        return estimate.sample

    policy.sample(obs, torch.Generator().manual_seed(0), guidance=[watch])
    estimate = policy.estimator(obs)
    for t, x, sample in seen:
        if path.has_base:
            continue  # the estimator knows of no base
        with torch.no_grad():
            again = estimate(x, torch.tensor(t, dtype=torch.float64))
        torch.testing.assert_close(again, sample, rtol=1e-4, atol=1e-4)

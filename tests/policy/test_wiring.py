"""What the policy hands to its parts: units, masks, hidden observations, clamps, fresh features.

The parts are stubs that say what they were given, so that every number is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from kinoise.policy.denoiser import Denoiser
from kinoise.policy.diffusion_policy import DiffusionPolicy
from kinoise.policy.encoders import StateEncoder
from kinoise.policy.errors import PolicyError
from kinoise.policy.networks import Backbone
from kinoise.policy.paths import Interpolant, LinearFlow
from kinoise.policy.paths.previous import training_base
from kinoise.policy.sampling.sampler import Sampler
from kinoise.policy.training.objectives import Denoising, Objective, TrainingBatch
from kinoise.policy.training.times import Uniform
from kinoise.policy.transforms import Recovery


class Recorder(Objective):
    """An objective that keeps the batch it is given."""

    target = "velocity"
    times = Uniform()
    seen: TrainingBatch

    def loss(
        self, denoiser: Denoiser, batch: TrainingBatch, generator: torch.Generator | None = None
    ) -> Tensor:
        self.seen = batch
        return batch.sample.sum()


def handed_to_the_objective(policy: DiffusionPolicy, batch: Any, seed: int = 0) -> TrainingBatch:
    recorder = Recorder()
    policy.objective = recorder
    policy.compute_loss(batch, torch.Generator().manual_seed(seed))
    return recorder.seen


class Knows(Backbone):
    """A network that predicts one chunk whatever it sees."""

    def __init__(self, chunk: Tensor) -> None:
        super().__init__()
        self.chunk = nn.Parameter(chunk)
        self.shown: list[Tensor] = []

    def times(self, t: Tensor) -> Tensor:
        return t

    def condition(self, cond: Tensor) -> Tensor:
        return cond

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        self.shown.append(x.clone())
        return self.chunk.expand_as(x)


def knowing(chunk: Tensor, **changes: Any) -> DiffusionPolicy:
    """Return a policy that predicts `chunk` [8, 2], of data between -2 and 4."""
    settings: dict[str, Any] = {
        "obs_shapes": tiny.OBS_SHAPES,
        "action_dim": 2,
        "horizon": 8,
        "n_obs_steps": 2,
        "n_action_steps": 4,
        "encoder": StateEncoder,
        "network": lambda **_: Knows(chunk),
        "path": LinearFlow(),
        "objective": Denoising("sample"),
        "sampler": Sampler("ddim", 2),
        **changes,
    }
    policy = DiffusionPolicy(**settings)
    policy.fit_normalizer(tiny.statistics(policy))
    return policy.eval()


RAMP = torch.linspace(-2.0, 2.0, 8)[:, None].repeat(1, 2)


def test_as_many_observations_are_hidden_as_are_asked_for() -> None:
    policy = tiny.policy(obs_dropout=0.3)
    batch = tiny.batch(0, 2000)
    given = handed_to_the_objective(policy, batch).condition
    with torch.no_grad():
        nothing = policy.denoiser.condition(policy.no_obs[None])
        everything = policy.denoiser.condition(policy.encode(batch["obs"]))
    hidden = torch.isclose(given, nothing).flatten(1).all(1)
    assert hidden.float().mean() == pytest.approx(0.3, abs=0.04)
    torch.testing.assert_close(given[~hidden], everything[~hidden])


def test_which_observations_are_hidden_is_the_generators_draw() -> None:
    policy = tiny.policy(obs_dropout=0.5)
    batch = tiny.batch(0, 64)
    first = handed_to_the_objective(policy, batch, seed=1).condition
    torch.manual_seed(5)
    assert torch.equal(first, handed_to_the_objective(policy, batch, seed=1).condition)
    assert not torch.equal(first, handed_to_the_objective(policy, batch, seed=2).condition)


def test_the_objective_sees_normalised_numbers_and_the_mask() -> None:
    policy = tiny.policy()
    batch = tiny.batch(0)
    given = handed_to_the_objective(policy, batch)
    # The data lie between -2 and 4: centre 1, scale 3.
    torch.testing.assert_close(given.sample, (batch["action"] - 1) / 3)
    assert given.mask is batch["mask"]
    assert given.base is None
    assert given.pair is None
    normed = {key: (value - 1) / 3 for key, value in batch["obs"].items()}
    expected = policy.denoiser.condition(policy.encoder(normed))
    torch.testing.assert_close(given.condition, expected)


def test_training_has_augmented_windows_and_validation_the_recorded_ones() -> None:
    recovery = Recovery("agent_pos", [0, 1], [0, 1], scale=0.2)
    policy = tiny.policy(transforms=[recovery])
    batch = tiny.batch(0)
    generator = torch.Generator().manual_seed(0)
    obs, action = policy.border.augmented(batch, generator)
    assert not torch.equal(obs["agent_pos"], batch["obs"]["agent_pos"])
    assert not torch.equal(action, batch["action"])

    for training, wanted, seen in ((True, action, obs), (False, batch["action"], batch["obs"])):
        policy.train(training)
        given = handed_to_the_objective(policy, batch, seed=0)
        torch.testing.assert_close(given.sample, policy.border.to_network(wanted, seen))
        expected = policy.denoiser.condition(policy.encode(seen))
        torch.testing.assert_close(given.condition, expected)


def test_a_coupling_sees_the_observations_as_they_are() -> None:
    policy = tiny.policy()
    batch = tiny.batch(0)
    policy.coupling = lambda sample, noise, obs: (sample, noise + obs["agent_pos"][:, :1])  # type: ignore[assignment]
    pair = handed_to_the_objective(policy, batch).pair
    assert pair is not None
    zeros = torch.zeros(16, 8, 2)
    torch.testing.assert_close(pair(zeros, zeros)[1], batch["obs"]["agent_pos"][:, :1] + zeros)


@pytest.mark.parametrize(("clip", "least", "most"), [(1.0, -2, 4), (0.5, -0.5, 2.5), (None, -5, 7)])
def test_a_chunk_is_clipped_in_ranges_of_the_data_and_leaves_in_their_units(
    clip: float | None, least: float, most: float
) -> None:
    chunk = knowing(RAMP, clip_sample=clip).sample(tiny.batch(0, 3)["obs"])
    expected = (3 * RAMP + 1).clamp(least, most)
    torch.testing.assert_close(chunk, expected.expand(3, -1, -1))


@pytest.mark.parametrize("mode", ["standard", "identity"])
def test_no_action_leaves_the_data_whatever_the_normalisation(mode: str) -> None:
    policy = knowing(RAMP * 10, normalization={"action": mode})
    chunk = policy.sample(tiny.batch(0, 1)["obs"])
    assert chunk.min() == pytest.approx(-2.0, abs=1e-5)
    assert chunk.max() == pytest.approx(4.0, abs=1e-5)


def test_the_executed_actions_begin_at_the_newest_observation() -> None:
    policy = knowing(RAMP, clip_sample=None)
    actions = policy.predict_action(tiny.batch(0, 1)["obs"])
    torch.testing.assert_close(actions, (3 * RAMP + 1)[None, 1:5])


@pytest.mark.parametrize(("n_action_steps", "fits"), [(7, True), (8, False)])
def test_observations_and_executed_actions_fit_the_horizon(n_action_steps: int, fits: bool) -> None:
    if fits:
        assert knowing(RAMP, n_action_steps=n_action_steps).n_action_steps == n_action_steps
    else:
        with pytest.raises(PolicyError, match="too short"):
            knowing(RAMP, n_action_steps=n_action_steps)


def _chunk(policy: DiffusionPolicy) -> Tensor:
    return policy.sample(tiny.batch(0, 2)["obs"], torch.Generator().manual_seed(0))


def _other() -> DiffusionPolicy:
    """Return a policy with other weights than `tiny.policy()`."""
    policy = tiny.policy().eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(0.7)
    return policy


def _load(policy: DiffusionPolicy) -> DiffusionPolicy:
    policy.load_state_dict(_other().state_dict())
    return _other()


def _double(policy: DiffusionPolicy) -> DiffusionPolicy:
    policy.double()
    return tiny.policy().eval().double()


def _train(policy: DiffusionPolicy) -> DiffusionPolicy:
    policy.train()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(0.7)
    policy.eval()
    return _other()


def _resample(policy: DiffusionPolicy) -> DiffusionPolicy:
    policy.set_sampler(Sampler("ddim", 3))
    fresh = tiny.policy().eval()
    fresh.set_sampler(Sampler("ddim", 3))
    return fresh


@pytest.mark.parametrize("change", [_load, _double, _train, _resample])
def test_what_was_computed_for_the_table_follows_every_change(
    change: Callable[[DiffusionPolicy], DiffusionPolicy],
) -> None:
    policy = tiny.policy().eval()
    before = _chunk(policy)
    fresh = change(policy)
    after = _chunk(policy)
    assert torch.equal(after, _chunk(fresh))
    assert not torch.equal(after, before.to(after.dtype))


def test_a_clamp_follows_new_statistics() -> None:
    policy = knowing(RAMP * 10, normalization={"action": "identity"})
    policy.sample(tiny.batch(0, 1)["obs"])
    statistics = tiny.statistics(policy)
    statistics["action"]["max"] = torch.full((2,), 9.0)
    policy.fit_normalizer(statistics)
    assert policy.sample(tiny.batch(0, 1)["obs"]).max() == pytest.approx(9.0)


def test_training_with_a_base_is_shown_what_is_left_of_the_previous_chunk() -> None:
    policy = tiny.policy(path={"_target_": "kinoise.policy.paths.Interpolant", "has_base": True})
    batch = tiny.batch(0, 64)
    torch.manual_seed(0)
    base = handed_to_the_objective(policy, batch).base
    torch.manual_seed(0)
    expected = training_base(batch["action"], 4, lambda chunk: (chunk - 1) / 3)
    assert base is not None
    torch.testing.assert_close(base, expected)


def test_the_previous_chunk_is_the_base_in_normalised_units() -> None:
    policy = knowing(RAMP, path=Interpolant(has_base=True), sampler=Sampler("ddim", 2))
    obs = tiny.batch(0, 1)["obs"]
    previous = 3 * torch.arange(8.0)[None, :, None].repeat(1, 1, 2) + 1
    shown = []
    for given in (None, previous):
        policy.network.shown.clear()
        policy.sample(obs, torch.Generator().manual_seed(0), previous=given)
        shown.append(policy.network.shown[0])
    # At the noise, t = 1, the base counts once: actions 4 to 7, the last one held.
    base = torch.tensor([4.0, 5, 6, 7, 7, 7, 7, 7])[None, :, None].expand(1, 8, 2)
    torch.testing.assert_close(shown[1] - shown[0], base)


def test_a_key_is_normalised_in_the_mode_that_is_asked_for() -> None:
    policy = tiny.policy(normalization={"action": "standard"})
    batch = tiny.batch(0)
    given = handed_to_the_objective(policy, batch)
    # Mean 1 and deviation 2.
    torch.testing.assert_close(given.sample, (batch["action"] - 1) / 2)

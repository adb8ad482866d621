"""Policies whose network has other numbers than the robot: everything outside speaks the robot's.

The parts are tiny, and oracles are actions whose written form is known.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from torch import Tensor

from kinoise.policy import DiffusionPolicy, PolicyError, load_policy
from kinoise.policy.build import build
from kinoise.policy.checkpoints import save_checkpoint
from kinoise.policy.density.likelihood import chunk_log_likelihood
from kinoise.policy.guidance import Inpainting, Projection
from kinoise.policy.guidance.sets import Box
from kinoise.policy.training.trainer import Trainer

FACE = "kinoise.policy.transforms"
POSITION = {"key": "agent_pos", "key_columns": [0, 1], "columns": [0, 1]}
RELATIVE = {"_target_": f"{FACE}.RelativeAction", **POSITION}
DELTA = {"_target_": f"{FACE}.DeltaAction", **POSITION}
TURNED = {"_target_": f"{FACE}.SinCos", "key": "action", "columns": [1]}
CUMULATIVE = {"_target_": f"{FACE}.CumulativeAction", "columns": [0, 1]}
SEEN = {
    "_target_": f"{FACE}.RelativePose",
    "key": "keypoint",
    "columns": [[0, 1], [2, 3], [4, 5]],
    "reference": "agent_pos",
    "reference_columns": [0, 1],
}
NOISE = {"_target_": f"{FACE}.ObservationNoise", "scale": 0.1}
DROPOUT = {"_target_": f"{FACE}.ObservationDropout", "rate": 0.3}
CLIP = {"_target_": f"{FACE}.ClipObservation"}
CHAINS: dict[str, list[dict[str, Any]]] = {
    "relative": [RELATIVE],
    "delta": [DELTA],
    "cumulative": [CUMULATIVE],
    "turned": [TURNED],
    "all": [SEEN, CLIP, NOISE, RELATIVE],
}


def windows(number: int, size: int = 64) -> dict[str, Any]:
    """Return windows of a robot that drives off from where it is, as the first key point says."""
    batch = tiny.batch(number, size)
    batch["obs"]["agent_pos"] /= 2  # actions within one turn
    direction = batch["obs"]["keypoint"][:, -1:, 0].tanh()
    drift = torch.linspace(0.1, 1.1, 8)[None, :, None]
    return {**batch, "action": batch["obs"]["agent_pos"][:, -1:] + drift * direction}


def moments(batches: list[dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Return the statistics of what was written."""
    found = {}
    for key in batches[0]:
        rows = torch.cat([batch[key] for batch in batches]).double()
        found[key] = {
            "min": rows.amin(0),
            "max": rows.amax(0),
            "mean": rows.mean(0),
            "std": rows.std(0, correction=0),
            "q01": rows.quantile(0.01, 0),
            "q99": rows.quantile(0.99, 0),
        }
    return found


def fitted(transforms: Any, **changes: Any) -> DiffusionPolicy:
    """Return a tiny policy with random weights, fitted to its own windows."""
    torch.manual_seed(0)
    policy: DiffusionPolicy = build(tiny.node(transforms=transforms, **changes))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    written = [policy.border.watch(windows(number)) for number in range(8)]
    policy.fit_normalizer(moments(written))
    return policy.eval()


@pytest.mark.parametrize("name", CHAINS)
def test_recorded_chunks_cross_the_border_and_come_back(name: str) -> None:
    policy = fitted(CHAINS[name])
    batch = windows(3)
    crossing = policy.border.at(batch["obs"])
    chunk = crossing.to_network(batch["action"])
    assert chunk.shape == (64, 8, policy.border.action_dim)
    assert chunk.abs().max() <= 1 + 1e-5  # within the range of training
    torch.testing.assert_close(crossing.to_actions(chunk), batch["action"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CHAINS)
def test_a_sampled_chunk_has_the_robots_dimensions_and_stays_in_the_recorded_range(
    name: str,
) -> None:
    policy = fitted(CHAINS[name])
    obs = windows(20)["obs"]
    obs["agent_pos"] = 5 * obs["agent_pos"]  # far from everything recorded
    chunk = policy.sample(obs, torch.Generator().manual_seed(0))
    low, high = policy.transforms.recorded.bounds("action")
    assert chunk.shape == (64, 8, 2)
    assert (chunk >= low - 1e-5).all()
    assert (chunk <= high + 1e-5).all()


def test_a_clamped_sum_of_steps_is_cut_as_the_robot_sees_it() -> None:
    policy = fitted([DELTA])
    _, high = policy.transforms.recorded.bounds("action")
    obs = windows(0, 4)["obs"]
    obs["agent_pos"] = high.expand(4, 2, 2).clone()  # at the edge already, and further every step
    most = policy.normalizer.bounds("action")[1]
    clamp = policy.border.clamp(obs)
    assert clamp is not None
    held = policy.border.to_actions(clamp(most.expand(4, 8, 2).clone()), obs)
    torch.testing.assert_close(held, high.expand(4, 8, 2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CHAINS)
def test_a_known_prefix_is_held_in_the_robots_units(name: str) -> None:
    policy = fitted(CHAINS[name])
    batch = windows(5)
    known = batch["action"].clone()
    known[:, 3:] = torch.nan
    chunk = policy.sample(
        batch["obs"], torch.Generator().manual_seed(0), guidance=[Inpainting(known)]
    )
    torch.testing.assert_close(chunk[:, :3], batch["action"][:, :3], rtol=0, atol=1e-4)
    assert (chunk[:, 3:] - batch["action"][:, 3:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", CHAINS)
def test_a_known_last_action_is_held_whatever_the_form(name: str) -> None:
    # Without a bound on the network's numbers: the step to it may be larger than any recorded.
    policy = fitted(CHAINS[name], clip_sample=None)
    batch = windows(5)
    known = torch.full_like(batch["action"], torch.nan)
    known[:, 0] = batch["action"][:, 0]
    known[:, -1] = batch["action"][:, -1]
    chunk = policy.sample(
        batch["obs"], torch.Generator().manual_seed(0), guidance=[Inpainting(known)]
    )
    torch.testing.assert_close(chunk[:, -1], batch["action"][:, -1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CHAINS)
def test_a_box_holds_the_robots_actions(name: str) -> None:
    policy = fitted(CHAINS[name])
    chunk = policy.sample(
        windows(5)["obs"],
        torch.Generator().manual_seed(0),
        guidance=[Projection(Box([-0.2, -0.2], [0.3, 0.3]))],
    )
    assert (chunk >= -0.2 - 1e-5).all()
    assert (chunk <= 0.3 + 1e-5).all()


def test_a_cost_sees_the_robots_actions() -> None:
    policy = fitted([DELTA], clip_sample=None)
    obs = windows(5)["obs"]
    shown = []

    def look(estimate: Any) -> Tensor:
        shown.append(estimate.to_actions(estimate.sample))
        return estimate.sample

    chunk = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[look])
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    assert torch.equal(chunk, plain)
    torch.testing.assert_close(chunk, shown[-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["relative", "delta", "cumulative"])
def test_the_first_steps_of_relative_actions_fill_their_own_range(name: str) -> None:
    policy = fitted(CHAINS[name])
    scale = policy.normalizer.scale("action")
    assert scale.shape == (8, 2)
    batch = windows(1)
    chunk = policy.border.to_network(batch["action"], batch["obs"])
    assert (chunk.abs().amax(0) > 0.5).all()


def test_statistics_of_absolute_actions_stay_one_a_dimension() -> None:
    assert fitted([SEEN, TURNED]).normalizer.scale("action").shape == (3,)


def test_a_previous_chunk_is_handed_over_relative_to_the_present_observation() -> None:
    path = {"_target_": "kinoise.policy.paths.Interpolant", "has_base": True}
    policy = fitted([RELATIVE], path=path)
    batch = windows(0, 4)
    previous = torch.cat([torch.zeros(4, 4, 2), batch["action"][:, :4]], 1)
    noises = torch.zeros(1, 4, 8, 2)
    base = policy._carried_on(previous, batch["obs"], noises)
    back = policy.border.to_actions(base, batch["obs"])
    torch.testing.assert_close(back[:, :4], batch["action"][:, :4], rtol=0, atol=1e-5)
    previous[2] = torch.nan
    base = policy._carried_on(previous, batch["obs"], noises)
    assert base[2].isnan().all()


@pytest.mark.parametrize("name", CHAINS)
def test_a_policy_with_transforms_gives_the_same_chunk_from_its_checkpoint(
    name: str, tmp_path: Path
) -> None:
    policy = fitted(CHAINS[name])
    node = tiny.node(transforms=CHAINS[name])
    save_checkpoint(
        tmp_path / "c", config={"policy": node}, weights=policy.state_dict(), table=policy.table
    )
    again = load_policy(tmp_path / "c")
    obs = windows(7)["obs"]
    chunks = [each.sample(obs, torch.Generator().manual_seed(1)) for each in (policy, again)]
    assert torch.equal(*chunks)


def test_transforms_may_be_given_by_name() -> None:
    named = fitted({"first": SEEN, "second": RELATIVE})
    listed = fitted([SEEN, RELATIVE])
    obs = windows(7)["obs"]
    chunks = [each.sample(obs, torch.Generator().manual_seed(1)) for each in (named, listed)]
    assert torch.equal(*chunks)


def test_a_row_does_not_depend_on_its_company() -> None:
    policy = fitted(CHAINS["all"]).double()
    obs = {key: value.double() for key, value in windows(7)["obs"].items()}
    generators = [torch.Generator().manual_seed(row) for row in range(64)]
    together = policy.sample(obs, generators)
    row = {key: value[5:6] for key, value in obs.items()}
    alone = policy.sample(row, [torch.Generator().manual_seed(5)])
    torch.testing.assert_close(alone[0], together[5], rtol=0, atol=1e-9)


def test_a_policy_without_transforms_keeps_no_numbers_of_them() -> None:
    assert not any(name.startswith("transforms") for name in tiny.policy().state_dict())


def test_the_density_of_relative_actions_is_that_of_the_actions() -> None:
    # In a tenth of the unit a chunk that looks the same is as many times as dense.
    policy = fitted([RELATIVE])
    batch = windows(2, 4)
    found = chunk_log_likelihood(policy, batch["obs"], batch["action"], n_steps=12)
    scale = policy.normalizer.scale("action").clone()
    policy.normalizer.assign("action", policy.normalizer.get("action", "centre") / 10, scale / 10)
    position = batch["obs"]["agent_pos"][:, -1:]
    closer = position + (batch["action"] - position) / 10
    again = chunk_log_likelihood(policy, batch["obs"], closer, n_steps=12)
    expected = torch.full((4,), (scale > 0).sum() * math.log(10))
    torch.testing.assert_close(again - found, expected, rtol=0, atol=0.02)


def test_training_disturbs_what_running_does_not() -> None:
    policy = fitted([NOISE])
    batch = windows(0)
    clean = policy.encode(batch["obs"])
    assert torch.equal(clean, policy.encode(batch["obs"]))
    losses = []
    for training in (False, True):
        policy.train(training)
        torch.manual_seed(0)
        losses.append(policy.compute_loss(batch).item())
    assert losses[0] != losses[1]


def _trained(folder: Path, stops: list[int]) -> dict[str, Tensor]:
    """Return the weights after training that stops, and resumes, at these steps."""
    transforms = [SEEN, CLIP, NOISE, DROPOUT, DELTA]
    for number, stop in enumerate(stops):
        policy = fitted(transforms).train()
        trainer = Trainer(
            policy,
            {"policy": tiny.node(transforms=transforms)},
            folder,
            n_steps=6,
            warmup_steps=1,
            precision="float32",
            log_every=1,
        )
        if number:
            trainer.resume(folder / "checkpoints" / "last")
        trainer.n_steps = stop
        trainer._rate = lambda: 1e-3  # type: ignore[method-assign]
        trainer.fit(windows)
    return load_policy(folder).state_dict()


def test_a_training_with_noise_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = _trained(tmp_path / "whole", [6])
    parts = _trained(tmp_path / "parts", [2, 6])
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


@pytest.mark.parametrize("name", ["relative", "delta"])
def test_a_trained_policy_gives_back_absolute_chunks(name: str) -> None:
    objective = {"_target_": "kinoise.policy.training.objectives.Denoising", "target": "sample"}
    policy = fitted(CHAINS[name], objective=objective).train()
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for number in range(80):
        torch.manual_seed(number)
        policy.compute_loss(windows(number)).backward()
        optimizer.step()
        optimizer.zero_grad()
    batch = windows(10_001)
    chunk = policy.eval().sample(batch["obs"], torch.Generator().manual_seed(0))
    stays = batch["obs"]["agent_pos"][:, -1:] - batch["action"]
    assert (chunk - batch["action"])[:, 1:].abs().mean() < 0.5 * stays[:, 1:].abs().mean()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "kinoise.policy.networks.DiT",
        "kinoise.policy.paths.EDM",
        f"{FACE}.Transform",
        f"{FACE}.Chain",
        f"{FACE}.transform.ACTION",
        f"{FACE}.disturbances.RangedTransform",
    ],
)
def test_a_checkpoint_that_names_something_else_among_its_transforms_is_refused(
    target: str, tmp_path: Path
) -> None:
    policy = fitted([RELATIVE])
    node = tiny.node(transforms=[{"_target_": target}])
    save_checkpoint(
        tmp_path / "c", config={"policy": node}, weights=policy.state_dict(), table=policy.table
    )
    config = yaml.safe_load((tmp_path / "c" / "config.yaml").read_text())
    assert config["policy"]["transforms"][0]["_target_"] == target
    with pytest.raises(PolicyError):
        load_policy(tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"key": "agent_po"}, "did you mean 'agent_pos'"),
        ({"key_columns": [0, 2]}, "has no column 2; did you mean 1"),
        ({"kye": "agent_pos"}, "kye"),
    ],
)
def test_a_transform_that_does_not_fit_the_policy_is_told_in_one_line(
    changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(PolicyError, match=fault) as error:
        build(tiny.node(transforms=[{**RELATIVE, **changes}]))
    assert "\n" not in str(error.value)

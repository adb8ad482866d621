"""The previous chunk as a start: what is handed over, and what training shows."""

from __future__ import annotations

import tiny
import torch

from kinoise.policy.paths.previous import carried_on, training_base

CHUNK = torch.arange(8, dtype=torch.float32)[None, :, None].repeat(512, 1, 2)
WARM = {"_target_": "kinoise.policy.paths.Interpolant", "spread": 0.3, "has_base": True}


def same(chunk: torch.Tensor) -> torch.Tensor:
    """Write actions as the robot has them."""
    return chunk


def test_a_chunk_is_handed_over_shifted_by_what_was_executed_and_its_end_is_held() -> None:
    assert carried_on(CHUNK, 3, same)[0, :, 0].tolist() == [3, 4, 5, 6, 7, 7, 7, 7]


def test_rows_without_a_previous_chunk_stay_unknown() -> None:
    chunk = CHUNK.clone()
    chunk[0] = torch.nan
    assert carried_on(chunk, 3, same)[0].isnan().all()
    assert (carried_on(chunk, 3, same)[1] == carried_on(CHUNK, 3, same)[1]).all()


def test_training_shows_the_overlap_held_at_its_end_and_sometimes_nothing() -> None:
    torch.manual_seed(0)
    base = training_base(CHUNK, 3, same)
    cold = (base == 0).flatten(1).all(1)
    assert 0.03 < cold.float().mean() < 0.2
    assert base[~cold][0, :, 0].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def test_a_policy_with_a_base_starts_from_the_previous_chunk() -> None:
    policy = tiny.policy(path=WARM).eval()
    obs = tiny.batch(0)["obs"]
    sample = lambda previous: policy.sample(  # noqa: E731
        obs, torch.Generator().manual_seed(0), previous=previous
    )
    cold, warm = sample(None), sample(torch.full((16, 8, 2), 3.0))
    assert (cold - warm).abs().max() > 1e-3
    assert torch.equal(sample(torch.full((16, 8, 2), torch.nan)), cold)


def test_a_policy_without_a_base_does_not_look_at_the_previous_chunk() -> None:
    policy = tiny.policy().eval()
    obs = tiny.batch(0)["obs"]
    chunks = [
        policy.sample(obs, torch.Generator().manual_seed(0), previous=previous)
        for previous in (None, torch.full((16, 8, 2), 3.0))
    ]
    assert torch.equal(*chunks)


def test_training_with_a_base_learns_to_finish_the_previous_chunk() -> None:
    target = {"_target_": "kinoise.policy.training.objectives.Denoising", "target": "sample"}
    policy = tiny.policy(path=WARM, objective=target)
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for number in range(300):
        torch.manual_seed(number)
        policy.compute_loss(tiny.batch(number, 64)).backward()
        optimizer.step()
        optimizer.zero_grad()
    batch = tiny.batch(10_001, 64)
    # The demonstrator's previous chunk: its second half is this chunk's first.
    previous = torch.cat([torch.zeros(64, 4, 2), batch["action"][:, :4]], 1)
    chunk = policy.eval().sample(batch["obs"], previous=previous)
    assert (chunk - batch["action"]).abs().mean() < 0.25  # the actions' own spread is about 1

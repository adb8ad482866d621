"""Validation on a policy whose loss and errors are known."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from kinoise.policy.training.validation import validate


def known_policy(errors: Tensor) -> Any:
    """Return a policy with To = 2, Ta = 3 that plans zero plus `errors` `[H]`, in data units."""
    policy = tiny.policy(obs_shapes={"x": [1]}, horizon=6, n_action_steps=3).eval()
    policy.compute_loss = lambda batch, generator: batch["loss"]
    policy.sample = lambda obs, generator: errors[None, :, None].expand(len(obs["x"]), -1, 2)
    return policy


def held_out(rows: int, loss: float, mask: Tensor | None = None) -> dict[str, Any]:
    masked = {} if mask is None else {"mask": mask}
    return {
        "obs": {"x": torch.zeros(rows, 2, 1)},
        "action": torch.zeros(rows, 6, 2),
        "loss": torch.tensor(loss),
        **masked,
    }


def test_the_loss_is_the_mean_over_rows_and_the_error_over_executed_actions() -> None:
    # Actions 1, 2 and 3 are executed; a normalised unit is 3 of the data's.
    policy = known_policy(torch.tensor([90.0, 3.0, 6.0, 0.0, 90.0, 90.0]))
    found = validate(policy, [held_out(3, 2.0), held_out(1, 6.0)], seed=0)
    assert found["validation_loss"] == pytest.approx(3.0)
    assert found["action_error"] == pytest.approx(((1 + 4 + 0) / 3) ** 0.5)


def test_padded_actions_have_no_error() -> None:
    policy = known_policy(torch.tensor([0.0, 3.0, 6.0, 90.0, 0.0, 0.0]))
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[:, 3:] = False
    found = validate(policy, [held_out(4, 1.0, mask)], seed=0)
    assert found["action_error"] == pytest.approx((5 / 2) ** 0.5)


def test_validation_spends_none_of_the_trainings_random_numbers() -> None:
    policy = known_policy(torch.zeros(6))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    validate(policy, [held_out(1, 1.0)], seed=0)
    assert torch.equal(torch.rand(1), expected)

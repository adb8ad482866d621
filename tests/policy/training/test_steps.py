"""One training step after the other: seeds, batches, gradients, averages and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from kinoise.policy.build import build
from kinoise.policy.checkpoints import load_policy, read_meta
from kinoise.policy.training.trainer import Trainer


def trainer(folder: Path, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    policy = build(tiny.node())
    policy.fit_normalizer(tiny.statistics(policy))
    settings = {"n_steps": 6, "warmup_steps": 0, "log_every": 1, **changes}
    return Trainer(policy, {"policy": tiny.node()}, folder, **settings)


@pytest.mark.parametrize("ema_decay", [0.5, 0.999])
def test_the_average_is_a_running_one_that_warms_up_to_its_decay(
    ema_decay: float, tmp_path: Path
) -> None:
    """After step n the average keeps min(decay, 1 - n^-3/4) of itself, and nothing at first."""
    made = trainer(tmp_path, n_steps=8, ema_decay=ema_decay, learning_rate=1e-2)
    averages: list[Tensor] = []

    def on_step(step: int, loss: float | None) -> None:
        keep = 0.0 if step == 1 else min(ema_decay, 1 - step**-0.75)
        for i, parameter in enumerate(made.parameters.values()):
            raw = parameter.detach().clone()
            if step == 1:
                averages.append(raw)
            else:
                averages[i] = keep * averages[i] + (1 - keep) * raw

    folder = made.fit(tiny.batch, on_step=on_step)
    stored = dict(load_policy(folder).named_parameters())
    for name, average in zip(made.parameters, averages, strict=True):
        torch.testing.assert_close(stored[name], average, rtol=1e-5, atol=1e-7)


def test_every_micro_batch_has_its_own_number_and_seed(tmp_path: Path) -> None:
    def seeds(folder: str, **changes: Any) -> list[int]:
        numbers: list[int] = []
        found: list[int] = []

        def batches(number: int) -> dict[str, Any]:
            numbers.append(number)
            found.append(torch.initial_seed())
            return tiny.batch(number)

        trainer(tmp_path / folder, accumulation=2, n_steps=3, **changes).fit(batches)
        assert numbers == list(range(6))
        return found

    assert len({*seeds("a", seed=0), *seeds("b", seed=1)}) == 12


def linear(made: Trainer) -> None:
    """Give a trainer the loss w p, summed over one parameter p, where batch n has w = n + 1."""
    parameter = made.parameters["network.output.bias"]
    made.policy.compute_loss = lambda batch: batch["w"] * parameter.sum()  # type: ignore[method-assign]


def weights(number: int) -> dict[str, Any]:
    return {"w": torch.tensor(number + 1.0)}


def test_the_gradient_of_a_step_is_the_mean_over_its_micro_batches(tmp_path: Path) -> None:
    made = trainer(tmp_path, accumulation=2)
    linear(made)
    entries = made.parameters["network.output.bias"].numel()
    norms = [float(made._train_step(weights)[1]) for _ in range(3)]
    assert norms == pytest.approx([mean * entries**0.5 for mean in (1.5, 3.5, 5.5)])


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.25, 0.25), (100.0, 16**0.5)])
def test_a_gradient_is_applied_with_the_largest_norm_allowed(
    clip_norm: float, expected: float, tmp_path: Path
) -> None:
    made = trainer(tmp_path, clip_norm=clip_norm)
    linear(made)
    applied: list[float] = []
    parameter = made.parameters["network.output.bias"]
    made.optimizer.step = lambda *_: applied.append(float(parameter.grad.norm()))  # type: ignore[assignment, union-attr, method-assign]
    made._train_step(weights)
    assert parameter.numel() == 16
    assert applied == [pytest.approx(expected, rel=1e-4)]


def test_the_rate_rises_from_its_first_fraction_and_falls_along_a_cosine(tmp_path: Path) -> None:
    made = trainer(tmp_path, n_steps=10, warmup_steps=4, learning_rate=1.0)
    rates = []
    for made.step in range(11):
        rates.append(made._rate())
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[7] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(0.0)


def test_a_resumed_training_remembers_the_best_it_had(tmp_path: Path) -> None:
    trainer(tmp_path, n_steps=3).fit(tiny.batch, evaluate=lambda folder: {"success": 0.9})
    again = trainer(tmp_path, n_steps=6)
    again.resume(tmp_path)
    again.fit(tiny.batch, evaluate=lambda folder: {"success": 0.5})
    assert read_meta(tmp_path / "checkpoints" / "best")["step"] == 3
    assert read_meta(tmp_path / "checkpoints" / "last")["step"] == 6


def test_the_policy_is_scored_as_it_will_run_and_trained_as_it_was(tmp_path: Path) -> None:
    """While it is validated it holds the average, in evaluation; afterwards its own weights."""
    made = trainer(tmp_path, n_steps=4, evaluate_every=2, learning_rate=1e-2, ema_decay=0.9)
    modes: list[bool] = []
    raw: list[Tensor] = []

    def validation() -> Iterator[dict[str, Any]]:
        modes.append(made.policy.training)
        for parameter, average in zip(
            made.parameters.values(), made.ema.shadow_params, strict=True
        ):
            assert torch.equal(parameter, average)
        yield tiny.batch(1000)

    def on_step(step: int, loss: float | None) -> None:
        assert made.policy.training
        raw[:] = [value.detach().clone() for value in made.parameters.values()]

    made.fit(tiny.batch, validation=validation, on_step=on_step)
    assert modes == [False, False]
    for parameter, before in zip(made.parameters.values(), raw, strict=True):
        assert torch.equal(parameter, before)

"""Training: resuming is exact, interrupts are safe, the best checkpoint is kept."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from kinoise.policy.build import build
from kinoise.policy.checkpoints import load_policy, read_meta
from kinoise.policy.checkpoints.reading import read_tensors
from kinoise.policy.errors import PolicyError
from kinoise.policy.training.log import TrainingLog, read_log
from kinoise.policy.training.trainer import Trainer


def _trainer(folder: Path, node: dict[str, Any], **changes: Any) -> Trainer:
    torch.manual_seed(0)
    policy = build(node)
    policy.fit_normalizer(tiny.statistics(policy))
    settings = {"n_steps": 40, "warmup_steps": 5, "log_every": 1, **changes}
    return Trainer(policy, {"policy": node}, folder, **settings)


def _interrupted_at(step: int) -> Any:
    def on_step(now: int, loss: float | None) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_step


ROOM = "kinoise.policy.training"
#: Policies that learn more than a network: a noise schedule, a weight of every noise level.
VDM = tiny.node(
    path={"_target_": "kinoise.policy.paths.LearnedGamma", "gamma_min": -8.0},
    objective={"_target_": f"{ROOM}.objectives.VariationalBound", "target": "epsilon"},
)
UNCERTAIN = tiny.node(
    objective={
        "_target_": f"{ROOM}.objectives.Denoising",
        "weight": {
            "_target_": f"{ROOM}.weights.Learned",
            "base": {"_target_": f"{ROOM}.weights.EDM"},
        },
    }
)
NODES = {
    **{name: tiny.node(name) for name in tiny.NETWORKS},
    "image": tiny.image_node(),
    "vdm": VDM,
    "uncertain": UNCERTAIN,
}


RUNS = [
    *((name, 12 if name == "image" else 40) for name in NODES),
    *(pytest.param(name, 4000, marks=pytest.mark.slow) for name in tiny.NETWORKS),
]


@pytest.mark.parametrize(("name", "n_steps"), RUNS)
def test_a_resumed_training_is_bitwise_the_uninterrupted_one(
    name: str, n_steps: int, tmp_path: Path
) -> None:
    node = NODES[name]
    shapes = node["obs_shapes"]

    def batches(number: int) -> dict[str, Any]:
        return tiny.batch(number, 4, shapes)

    settings = {"n_steps": n_steps, "accumulation": 2}
    half = n_steps // 2
    whole = _trainer(tmp_path / "whole", node, **settings).fit(batches)
    first = _trainer(tmp_path / "parts", node, **settings)
    first.fit(batches, on_step=_interrupted_at(half))
    assert first.step == half
    second = _trainer(tmp_path / "parts", node, **settings)
    second.resume(tmp_path / "parts")
    parts = second.fit(batches)
    for file in ("policy.safetensors", "training.safetensors"):
        a, b = read_tensors(whole / file), read_tensors(parts / file)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), file
    losses = [
        [r["loss"] for r in read_log(tmp_path / n / "metrics.jsonl")] for n in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def test_a_learned_path_is_stored_with_the_table_that_belongs_to_its_average(
    tmp_path: Path,
) -> None:
    trainer = _trainer(tmp_path, VDM, learning_rate=3e-2)
    untrained = trainer.policy.table.init.clone()
    loaded = load_policy(trainer.fit(tiny.batch))
    assert (loaded.table.init - untrained).abs().max() > 1e-4
    compiled = build(VDM["sampler"]).table(loaded.path)
    torch.testing.assert_close(loaded.table.t, compiled.t)
    torch.testing.assert_close(loaded.table.estimate, compiled.estimate)


def test_a_learned_weight_is_trained_with_the_network(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, UNCERTAIN)
    trainer.fit(tiny.batch)
    assert trainer.policy.learned_weight.output.weight.abs().max() > 1e-4


def test_the_average_of_the_weights_is_what_runs(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, tiny.node(), ema_decay=0.5)
    loaded = dict(load_policy(trainer.fit(tiny.batch)).named_parameters())
    for name, average in zip(trainer.parameters, trainer.ema.shadow_params, strict=True):
        assert torch.equal(loaded[name], average)
    assert any(not torch.equal(loaded[name], raw) for name, raw in trainer.parameters.items())


def test_accumulated_micro_batches_make_the_gradient_of_their_union(tmp_path: Path) -> None:
    def gradient(accumulation: int) -> float:
        trainer = _trainer(tmp_path / str(accumulation), tiny.node(), accumulation=accumulation)
        return float(trainer._train_step(lambda number: tiny.batch(0))[1])

    # The same batch twice, with other times and noise: the norm is of the same size.
    assert gradient(2) == pytest.approx(gradient(1), rel=0.5)


def test_the_best_checkpoint_by_success_is_kept_beside_the_last(tmp_path: Path) -> None:
    success = {10: 0.2, 20: 0.9, 30: 0.5, 40: 0.4}
    trainer = _trainer(tmp_path, tiny.node(), evaluate_every=10)
    trainer.fit(tiny.batch, evaluate=lambda folder: {"success": success[trainer.step]})
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert kept == ["step_0000020", "step_0000040"]
    assert read_meta(tmp_path)["metrics"]["success"] == 0.9
    assert read_meta(tmp_path / "checkpoints" / "last")["step"] == 40


def test_a_checkpoint_is_the_last_one_before_its_rollouts_begin(tmp_path: Path) -> None:
    def evaluate(folder: Path) -> dict[str, float]:
        assert (tmp_path / "checkpoints" / "last").resolve() == folder.resolve()
        load_policy(tmp_path)
        return {"success": 1.0}

    _trainer(tmp_path, tiny.node(), n_steps=4).fit(tiny.batch, evaluate=evaluate)
    assert read_meta(tmp_path)["metrics"] == {
        "success": 1.0,
        "best": 1.0,
        "best_by": "success",
    }


def test_the_learning_rate_warms_up_and_falls_to_zero(tmp_path: Path) -> None:
    _trainer(tmp_path, tiny.node(), learning_rate=1.0, warmup_steps=10).fit(tiny.batch)
    rates = [record["lr"] for record in read_log(tmp_path / "metrics.jsonl")]
    assert max(rates) == pytest.approx(1.0)
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[-1] < 0.01


def test_bfloat16_trains(tmp_path: Path) -> None:
    settings = {"precision": "bfloat16", "n_steps": 120, "learning_rate": 5e-3}
    _trainer(tmp_path, tiny.node(), **settings).fit(tiny.batch)
    losses = [record["loss"] for record in read_log(tmp_path / "metrics.jsonl")]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_resuming_needs_a_training_state_of_the_same_network(tmp_path: Path) -> None:
    folder = _trainer(tmp_path / "a", tiny.node(), n_steps=2).fit(tiny.batch)
    other = _trainer(tmp_path / "b", tiny.node("dit"))
    with pytest.raises((PolicyError, RuntimeError)):
        other.resume(folder)
    (folder / "training.safetensors").unlink()
    with pytest.raises(PolicyError, match="holds no training state"):
        _trainer(tmp_path / "c", tiny.node()).resume(folder)


def test_the_log_survives_a_torn_last_line_and_drops_what_a_resume_repeats(tmp_path: Path) -> None:
    with TrainingLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, loss=float(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    TrainingLog(tmp_path, resume_at=2).close()
    assert [record["step"] for record in read_log(tmp_path / "metrics.jsonl")] == [1, 2]


def test_factors_scale_the_learning_rate_of_their_parameters_alone(tmp_path: Path) -> None:
    name = "network.input.weight"
    settings = {"n_steps": 1, "warmup_steps": 0, "weight_decay": 0.0, "clip_norm": 1e9}
    moved = {}
    for factor in (1.0, 0.25):
        trainer = _trainer(
            tmp_path / str(factor), tiny.node(), **settings, rate_factors={name: factor}
        )
        before = {key: value.detach().clone() for key, value in trainer.parameters.items()}
        trainer.fit(tiny.batch)
        moved[factor] = {k: (v - before[k]).detach() for k, v in trainer.parameters.items()}
    torch.testing.assert_close(moved[0.25][name], 0.25 * moved[1.0][name], rtol=1e-3, atol=1e-9)
    others = [key for key in before if key != name]
    assert all(torch.equal(moved[0.25][key], moved[1.0][key]) for key in others)

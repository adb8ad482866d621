"""What goes wrong in a training costs no run: numbers, settings, signals, other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from kinoise.policy import PolicyError, load_policy
from kinoise.policy.build import build
from kinoise.policy.checkpoints import read_meta
from kinoise.policy.training.lock import run_lock
from kinoise.policy.training.log import read_log
from kinoise.policy.training.trainer import HOPELESS, Trainer


def trainer(folder: Path, node: dict[str, Any] | None = None, **changes: Any) -> Trainer:
    node = node or tiny.node()
    config = {"policy": node, **changes.pop("config", {})}
    torch.manual_seed(0)
    policy = build(node)
    policy.fit_normalizer(tiny.statistics(policy))
    settings = {"n_steps": 20, "warmup_steps": 2, "log_every": 1, **changes}
    return Trainer(policy, config, folder, **settings)


def test_one_batch_that_is_no_number_costs_one_step(tmp_path: Path) -> None:
    def batches(number: int) -> dict[str, Any]:
        batch = tiny.batch(number)
        if number == 7:
            batch["action"][0, 0, 0] = torch.nan
        return batch

    policy = load_policy(trainer(tmp_path).fit(batches))
    assert all(bool(value.isfinite().all()) for value in policy.state_dict().values())
    losses = [record["loss"] for record in read_log(tmp_path / "metrics.jsonl")]
    assert sum(loss != loss for loss in losses) == 1


def test_a_training_that_is_lost_says_so_and_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    def batches(number: int) -> dict[str, Any]:
        batch = tiny.batch(number)
        if number >= 6:
            batch["action"][:] = torch.inf
        return batch

    lost = trainer(tmp_path, n_steps=200, evaluate_every=5)
    with pytest.raises(PolicyError, match=f"not finite for {HOPELESS} steps"):
        lost.fit(batches, evaluate=lambda folder: {"success": 1.0})
    assert load_policy(tmp_path).horizon == 8


def test_weights_that_are_no_numbers_never_become_the_last_checkpoint(tmp_path: Path) -> None:
    spoilt = trainer(tmp_path)

    def on_step(step: int, loss: float | None) -> None:
        if step == 15:
            spoilt.ema.shadow_params[0].fill_(torch.nan)

    trainer(tmp_path, n_steps=10).fit(tiny.batch)
    spoilt.resume(tmp_path)
    with pytest.raises(PolicyError, match="no numbers at step 20"):
        spoilt.fit(tiny.batch, on_step=on_step)
    assert read_meta(tmp_path)["step"] == 10


def test_frozen_and_unused_parameters_do_not_keep_a_training_from_being_resumed(
    tmp_path: Path,
) -> None:
    def partly_frozen(folder: Path) -> Trainer:
        made = trainer(folder)
        made.policy.network.output.bias.requires_grad_(False)
        made.policy.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
        return Trainer(made.policy, made.config, folder, n_steps=20, log_every=1)

    def interrupt(step: int, loss: float | None) -> None:
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    whole = partly_frozen(tmp_path / "whole")
    whole.fit(tiny.batch)
    partly_frozen(tmp_path / "parts").fit(tiny.batch, on_step=interrupt)
    parts = partly_frozen(tmp_path / "parts")
    parts.resume(tmp_path / "parts")
    parts.fit(tiny.batch)

    for name, value in whole.parameters.items():
        assert torch.equal(value, parts.parameters[name]), name


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"config": {"seed": 1}}, "seed"),
        ({"config": {"data": {"batch_size": 8, "path": "a"}}}, "data.batch_size"),
        ({"config": {"data": {"batch_size": 4, "path": "b"}}}, "data.path"),
        ({"config": {"trainer": {"learning_rate": 1.0}}}, "trainer.learning_rate"),
        ({"node": tiny.node(horizon=9)}, "policy.horizon"),
    ],
)
def test_resuming_with_other_settings_says_what_differs(
    changed: dict[str, Any], named: str, tmp_path: Path
) -> None:
    config = {
        "seed": 0,
        "data": {"batch_size": 4, "path": "a"},
        "trainer": {"learning_rate": 5e-4},
        "run": "a",
    }
    trainer(tmp_path, config=config).fit(tiny.batch)
    free = {"run": "elsewhere", "device": "cuda", "trainer": {**config["trainer"], "log_every": 9}}

    same = trainer(tmp_path, config={**config, **free})
    same.resume(tmp_path)
    assert same.step == 20

    other = trainer(tmp_path, changed.get("node"), config={**config, **changed.get("config", {})})
    with pytest.raises(PolicyError, match=rf"{named} was .*allow_changes=true"):
        other.resume(tmp_path)
    if "node" not in changed:
        other.resume(tmp_path, allow_changes=True)
        assert other.step == 20


def test_two_trainings_never_write_to_one_run(tmp_path: Path) -> None:
    with (
        run_lock(tmp_path),
        pytest.raises(PolicyError, match=f"another training .process {os.getpid()}."),
    ):
        trainer(tmp_path).fit(tiny.batch)
    trainer(tmp_path).fit(tiny.batch)  # the lock is free again


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_to_stop_leaves_a_checkpoint_to_resume_from(name: str, tmp_path: Path) -> None:
    def twice(step: int, loss: float | None) -> None:
        if step == 5:
            os.kill(os.getpid(), getattr(signal, name))
            os.kill(os.getpid(), getattr(signal, name))

    stopped = trainer(tmp_path)
    stopped.fit(tiny.batch, on_step=twice)
    assert stopped.step == 5
    assert read_meta(tmp_path)["step"] == 5


def test_an_interrupt_ends_the_scoring_at_once_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    reached = []

    def evaluate(folder: Path) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the end of the rollouts")
        return {"success": 1.0}

    stopped = trainer(tmp_path, evaluate_every=5)
    stopped.fit(tiny.batch, evaluate=evaluate)
    assert not reached
    assert stopped.step == 5
    assert read_meta(tmp_path)["step"] == 5


def test_a_reader_of_the_output_that_left_costs_no_training(tmp_path: Path) -> None:
    def on_step(step: int, loss: float | None) -> None:
        if step == 8:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        trainer(tmp_path).fit(tiny.batch, on_step=on_step)
    assert read_meta(tmp_path)["step"] == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"best_by": "sucess"},
        {"n_steps": 0},
        {"accumulation": 0},
        {"log_every": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"ema_decay": 1.0},
        {"precision": "float8"},
        {"evaluate_every": -1},
        {"warmup_steps": -1},
        {"clip_norm": 0.0},
        {"checkpoint_minutes": float("nan")},
    ],
    ids=str,
)
def test_settings_are_checked_before_any_step(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        trainer(tmp_path, **settings)


def held_out() -> Iterator[dict[str, Any]]:
    yield tiny.batch(1000, 16)
    yield tiny.batch(1001, 5)


def test_held_out_episodes_are_scored_and_choose_the_best_where_nothing_else_does(
    tmp_path: Path,
) -> None:
    made = trainer(tmp_path, n_steps=300, evaluate_every=100, learning_rate=3e-3)
    made.fit(tiny.batch, validation=held_out)
    records = read_log(tmp_path / "metrics.jsonl")
    errors = {r["step"]: r["action_error"] for r in records if "action_error" in r}
    assert list(errors) == [100, 200, 300]
    assert errors[300] < 0.8 * errors[100]
    best = read_meta(tmp_path / "checkpoints" / "best")
    assert best["step"] == min(errors, key=lambda step: errors[step])
    assert best["metrics"]["validation_loss"] > 0


def test_validation_disturbs_neither_the_training_nor_itself(tmp_path: Path) -> None:
    plain = trainer(tmp_path / "plain", evaluate_every=5)
    plain.fit(tiny.batch)
    watched = trainer(tmp_path / "watched", evaluate_every=5)
    watched.fit(tiny.batch, validation=held_out)
    for name, value in plain.parameters.items():
        assert torch.equal(value, watched.parameters[name])

    records = read_log(tmp_path / "watched" / "metrics.jsonl")
    again = trainer(tmp_path / "again", evaluate_every=5)
    again.fit(tiny.batch, validation=held_out)
    assert read_log(tmp_path / "again" / "metrics.jsonl") == records


def test_a_kill_at_any_moment_of_saving_leaves_a_checkpoint(tmp_path: Path) -> None:
    """The same folder is written again and again, as by a run whose steps are counted anew."""
    program = """
        import sys
        sys.path.insert(0, sys.argv[2])
        from pathlib import Path
        import tiny
        from kinoise.policy.checkpoints import save_checkpoint
        policy, number = tiny.policy(), 0
        while True:
            save_checkpoint(Path(sys.argv[1]) / "only", config={"policy": tiny.node()},
                            weights=policy.state_dict(), table=policy.table, step=number)
            number += 1
            print(number, flush=True)
    """
    here = str(Path(tiny.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), here],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    seen = 0
    # Look while it writes, then kill it in the middle: the only copy is always there.
    for _ in range(300):
        assert (tmp_path / "only" / "policy.safetensors").exists()
        seen += 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert load_policy(tmp_path / "only").horizon == 8
    assert seen == 300

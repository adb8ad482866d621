"""Every way to execute chunks on one trained policy, on the same seeds.

Each cell is one execution at one number of executed actions Ta. It is written as soon as it is
known, and a second call goes on where the first stopped. Success and score are compared, seed by
seed, with a receding horizon at the policy's own Ta; beside them stand the distance of successive
plans and the share of replans that change mode (see `kinoise.policy.control.plan_consistency`).

    python benchmarks/execution.py runs/pick_place --episodes 100
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import machine, pin_threads, write_result

from kinoise.envs.intervals import compare_means, compare_rates
from kinoise.policy import PolicyError, load_policy
from kinoise.policy.checkpoints import find_checkpoint
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command.composing import compose
from kinoise.scripts.evaluation import roll_out, summarise

FIRST_SEED = 500_000
#: Name of a row -> the overrides that choose it.
EXECUTIONS = {
    "receding_horizon": ["execution=receding_horizon"],
    "temporal_ensemble": ["execution=temporal_ensemble"],
    "temporal_ensemble, newest first": [
        "execution=temporal_ensemble",
        "policy.execution.decay=-0.5",
    ],
    "best_of_k, K = 4": ["execution=best_of_k", "policy.execution.n_candidates=4"],
    "best_of_k, K = 16": ["execution=best_of_k"],
    "best_of_k, K = 16, forward": ["execution=best_of_k", "policy.execution.forward=1.0"],
    "warm_start, 0.4": ["execution=warm_start", "policy.execution.start=0.4"],
    "warm_start, 0.6": ["execution=warm_start"],
    "warm_start, 0.8": ["execution=warm_start", "policy.execution.start=0.8"],
}


@dataclass(frozen=True)
class Cell:
    """One execution of a checkpoint's chunks at one Ta."""

    checkpoint: Path
    execution: str
    n_action_steps: int
    n_episodes: int

    @property
    def path(self) -> Path:
        """Where its figures stand; other weights have another place."""
        with (self.checkpoint / "policy.safetensors").open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()[:12]
        name = self.execution.replace(", ", "_").replace(" ", "")
        file = f"{name}_ta{self.n_action_steps:02d}_n{self.n_episodes}.json"
        return Path("runs/execution") / digest / file


def run_cell(cell: Cell) -> dict[str, Any]:
    """Return the figures of a cell, rolled out unless that was done before."""
    if cell.path.exists():
        return dict(json.loads(cell.path.read_text()))

    cfg = compose("eval", [f"checkpoint={cell.checkpoint}", *EXECUTIONS[cell.execution]])
    execution = assembly.plain(cfg.policy.execution)
    row: dict[str, Any] = {"execution": cell.execution, "n_action_steps": cell.n_action_steps}
    try:
        found = _figures(cell, execution)
    except PolicyError as error:
        found = {"skipped": str(error)}
    write(cell.path, row | found)
    return row | found


def _figures(cell: Cell, execution: dict[str, Any]) -> dict[str, Any]:
    """Roll a cell out and return its figures."""
    choices = assembly.Choices(execution=execution)
    policy = assembly.check_choices(
        cell.checkpoint, choices, cell.n_action_steps, compare_plans=True
    )
    asked: Any = SimpleNamespace(task=None, limits=None, trust=False)
    episodes = roll_out(
        tasks.make_env(tasks.task_of(asked, cell.checkpoint)),
        assembly.controller_factory(
            cell.checkpoint,
            execution=execution,
            n_action_steps=cell.n_action_steps,
            compare_plans=True,
        ),
        label=f"{cell.execution}, Ta = {cell.n_action_steps}",
        n_episodes=cell.n_episodes,
        first_seed=FIRST_SEED,
        n_envs=16,
        n_workers=0,
    )
    return {
        "settings": str(policy.execution),
        "nfe": policy.execution.n_evaluations(policy.table),
        **summarise(episodes),
        "successes": "".join(str(int(e.success)) for e in episodes),
        "scores": [round(e.score, 4) for e in episodes],
    }


def compare(rows: list[dict[str, Any]], reference: dict[str, Any]) -> None:
    """Add to each row its differences from the reference on the same seeds, with intervals."""
    for row in rows:
        rates = compare_rates(*([int(d) for d in r["successes"]] for r in (row, reference)))
        means = compare_means(*(r["scores"] for r in (row, reference)))
        for name, found in (("success", rates.difference), ("score", means.difference)):
            row[f"{name}_difference"] = [found.low, found.estimate, found.high]


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    for row in rows:
        low, change, high = row["success_difference"]
        plans = row["plan_consistency"]
        print(
            f"{row['execution']:32s}Ta {row['n_action_steps']:2d}  NFE {row['nfe']:3d}  "
            f"success {row['success']:.2f} ({change:+.2f} [{low:+.2f}, {high:+.2f}])  "
            f"score {row['score']:.3f}  plans {plans['disagreement']:.3f} apart, "
            f"{plans['multimodal']:.0%} two-moded, {plans['switches']:.0%} switch"
        )


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a cell's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    temporary.write_text(json.dumps(record) + "\n")
    temporary.replace(path)


def main(argv: list[str] | None = None) -> None:
    """Measure what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="a run's folder, or one of its checkpoints")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--steps", type=int, nargs="+", help="Ta; 1, 4 and the policy's own")
    parser.add_argument("--executions", nargs="+", default=list(EXECUTIONS), choices=EXECUTIONS)
    arguments = parser.parse_args(argv)

    pin_threads(1)
    checkpoint = find_checkpoint(arguments.run)
    own = load_policy(checkpoint).n_action_steps
    wanted = arguments.steps or sorted({1, 4, own})
    reference = run_cell(Cell(checkpoint, "receding_horizon", own, arguments.episodes))
    rows = [
        run_cell(Cell(checkpoint, execution, n, arguments.episodes))
        for execution in arguments.executions
        for n in wanted
    ]
    rows = [row for row in rows if "skipped" not in row]

    compare(rows, reference)
    show(rows)
    facts = {"run": arguments.run.name, "episodes": arguments.episodes, "own_ta": own}
    print(f"wrote {write_result('execution', facts | {'rows': rows})} ({machine()['cpu']})")


if __name__ == "__main__":
    main()

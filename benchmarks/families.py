"""Every named family at its own recommended settings, after equal training time.

The settings are those of `configs/family`, the evaluations recommended are those of its sampler.
Families that differ only in how they sample share one training; backbones and couplings that cost
more a step train fewer steps. Each family is rolled out on 100 seeds at its recommended number of
evaluations, and on 50 of them at others. Each cell is written as soon as it is known, and a second
call goes on where the first stopped. Latency, the thread's own time, is measured at the end by
`--latency`.

    python benchmarks/families.py --task pick_place
    python benchmarks/families.py --task gym_pusht
    python benchmarks/families.py --latency
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, pin_threads, summary, write_result
from heat_map import draw

from kinoise.envs.intervals import compare_means, compare_rates
from kinoise.policy import load_policy
from kinoise.policy.build import build
from kinoise.policy.checkpoints import read_meta
from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance.estimate import declares
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.progress import Progress
from kinoise.scripts.command.settings import settings_of
from kinoise.scripts.evaluation import roll_out, summarise
from kinoise.scripts.train import train

#: Evaluations beside the recommended ones, where a solver can do with them.
NFES = (1, 2, 4, 8, 16)
#: What the others are compared with, on the same seeds, each at its recommended evaluations.
REFERENCE = "flow_matching"
FIRST_SEED = 400_000
BATCH_SIZE = 128
FOLDER = Path("runs/families")


@dataclass(frozen=True)
class Budget:
    """What every family has on a task: as many steps of the plain perceptron, and a data set."""

    n_steps: int
    learning_rate: float
    data: str
    overrides: tuple[str, ...] = ()


BUDGETS = {
    "pick_place": Budget(6000, 2e-3, "data/pick_place.zarr"),
    "gym_pusht": Budget(20000, 3e-3, "data/pusht_human.zarr", ("data.pad_after=7",)),
}
#: Time of a training step over that of the plain perceptron: such families train fewer steps.
COST = {"dit": 3.2, "reflow": 2.2, "unet": 3.5}
#: Backbones of the families that are about a backbone, small enough for the common budget.
SMALLER = {
    "dit": ["policy.network.width=64", "policy.network.depth=4"],
    "unet": ["policy.network.down_dims=[32,64,128]"],
}


@dataclass(frozen=True)
class Cell:
    """One family on one task at one number of evaluations; 0 is the recommended one."""

    task: str
    family: str
    nfe: int

    @property
    def path(self) -> Path:
        return FOLDER / self.task / "cells" / f"{self.family}_{self.nfe:03d}.json"

    @property
    def n_episodes(self) -> int:
        return 100 if self.nfe == 0 else 50


def families() -> list[str]:
    """Return every named family, teachers before their students."""
    names = catalogue.groups()["family"]
    return sorted(names, key=lambda name: (name == "reflow", name))


def config_of(task: str, family: str) -> Any:
    """Return the training configuration of a family: its own settings under the common budget."""
    budget = BUDGETS[task]
    n_steps = round(budget.n_steps / COST.get(family, 1))
    overrides = [
        f"task={task}",
        f"family={family}",
        f"data.path={budget.data}",
        f"data.batch_size={BATCH_SIZE}",
        f"trainer.n_steps={n_steps}",
        f"trainer.warmup_steps={min(500, n_steps // 4)}",
        f"trainer.learning_rate={budget.learning_rate}",
        "trainer.checkpoint_minutes=0.5",
        "evaluation.n_episodes=0",
        "n_threads=1",
        *budget.overrides,
        *SMALLER.get(family, []),
    ]
    if family == "reflow":
        overrides.append(f"policy.coupling.teacher={run_folder(task, config_of(task, REFERENCE))}")
    return compose("train", overrides)


def run_folder(task: str, cfg: Any) -> Path:
    """Return the folder of a training, named by all that shapes the weights and no more."""
    policy = {
        k: v for k, v in assembly.plain(cfg.policy).items() if k not in ("sampler", "guidance")
    }
    shaping = {"policy": policy, "data": assembly.plain(cfg.data)}
    shaping["trainer"] = {"n_steps": cfg.trainer.n_steps, "rate": cfg.trainer.learning_rate}
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return FOLDER / task / f"train_{digest[:12]}"


def trained(task: str, family: str) -> Path:
    """Train a family, or continue its training, or return the one that is there."""
    cfg = config_of(task, family)
    run = run_folder(task, cfg)
    last = run / "checkpoints" / "last"
    step = read_meta(last)["step"] if last.exists() else 0
    if step < cfg.trainer.n_steps:
        cfg.run = str(run)
        cfg.resume = last.exists()
        began = time.process_time()
        train(settings_of("train", cfg))
        # What a part of the training took, for all of it.
        share = (cfg.trainer.n_steps - step) / cfg.trainer.n_steps
        write(run / "cost.json", {"cpu_seconds": (time.process_time() - began) / share})
    return run


def sampler_at(policy: dict[str, Any], run: Path, nfe: int) -> tuple[dict[str, Any], int]:
    """Return the sampler with at most `nfe` evaluations, and how many it has; 0 for its own.

    Raises:
        PolicyError: even one step evaluates the network more often.
    """
    node = policy["sampler"]
    path = load_policy(run).path
    # Classifier-free guidance evaluates the network with and without the observation.
    passes = 1 + declares(build(policy["guidance"]), "needs_unconditional")
    for n_steps in range(nfe or node["n_steps"], 0, -1):
        chosen = {**node, "n_steps": n_steps}
        evaluations = passes * build(chosen).table(path).n_evaluations
        if evaluations <= nfe or nfe == 0:
            return chosen, evaluations
    raise PolicyError(f"{node['solver']} evaluates the network more than {nfe} times a step")


def run_cell(cell: Cell, run: Path) -> None:
    """Roll a cell out and write it down."""
    policy = assembly.plain(config_of(cell.task, cell.family).policy)
    guidance = policy["guidance"]
    try:
        sampler, evaluations = sampler_at(policy, run, cell.nfe)
    except PolicyError as error:
        write(cell.path, {"skipped": str(error)})
        return
    known = [read(Cell(cell.task, cell.family, nfe).path).get("nfe") for nfe in (0, *NFES)]
    if evaluations in known:
        write(cell.path, {"skipped": f"the same as at {evaluations} evaluations"})
        return
    episodes = roll_out(
        tasks.make_env(tasks.task_of(config_of(cell.task, cell.family))),
        assembly.controller_factory(run, sampler=sampler, guidance=guidance),
        label=f"{cell.task} {cell.family} NFE {evaluations}",
        n_episodes=cell.n_episodes,
        first_seed=FIRST_SEED,
        n_envs=25,
        n_workers=0,
    )
    write(
        cell.path,
        {
            "task": cell.task,
            "family": cell.family,
            "nfe": evaluations,
            "recommended": cell.nfe == 0,
            "sampler": sampler,
            "guidance": guidance,
            "run": run.name,
            "first_seed": FIRST_SEED,
            **summarise(episodes),
            # In the order of the seeds, compactly: a line each, not a hundred.
            "successes": "".join(str(int(e.success)) for e in episodes),
            "scores": " ".join(f"{e.score:.3f}" for e in episodes),
        },
    )


def sweep(task: str, names: list[str], nfes: tuple[int, ...]) -> None:
    """Train and roll out whatever is not there yet."""
    for family in names:
        missing = [cell for cell in (Cell(task, family, n) for n in nfes) if not cell.path.exists()]
        if not missing:
            continue
        print(f"--- {task}: {family}", flush=True)
        run = trained(task, family)
        for cell in missing:
            run_cell(cell, run)


def measure_latency(repeats: int) -> None:
    """Time one chunk of every cell, batch 1 on one thread, and write it beside the cell.

    Time of the thread, not of the wall: other work on the machine does not count.
    """
    known = [read(path) for path in sorted(FOLDER.glob("*/cells/*.json"))]
    known = [row for row in known if "nfe" in row]
    with Progress("latency", len(known), "cells") as progress:
        for row in known:
            run = FOLDER / row["task"] / row["run"]
            policy = load_policy(run, sampler=row["sampler"], guidance=row["guidance"])
            obs = {k: torch.zeros(1, 2, *shape) for k, shape in policy.obs_shapes.items()}
            samples = []
            for repeat in range(repeats + 5):
                began = time.thread_time()
                policy.sample(obs)
                if repeat >= 5:
                    samples.append(1e3 * (time.thread_time() - began))
            write(latency_path(row), summary(samples))
            progress.advance()


def latency_path(row: dict[str, Any]) -> Path:
    """Return where the latency of a row is kept."""
    return FOLDER / row["task"] / "latency" / f"{row['family']}_{row['nfe']:03d}.json"


def collect() -> None:
    """Put all cells into one result and print it."""
    rows = []
    for path in sorted(FOLDER.glob("*/cells/*.json")):
        row = read(path)
        if "nfe" not in row:
            continue
        run = FOLDER / row["task"] / row["run"]
        row["chunk_ms"] = read(latency_path(row))
        row["parameters"] = sum(p.numel() for p in load_policy(run).parameters())
        row["training_steps"] = read_meta(run / "checkpoints" / "last")["step"]
        row["training_cpu_seconds"] = read(run / "cost.json").get("cpu_seconds")
        rows.append(row)
    for task in BUDGETS:
        compare([row for row in rows if row["task"] == task], task)
    for row in rows:
        low, high = row["success_interval"]
        mark = "*" if row["recommended"] else " "
        print(
            f"{row['task']:11s}{row['family']:24s}{row['nfe']:4d}{mark}"
            f" success {row['success']:.2f} [{low:.2f}, {high:.2f}]  score {row['score']:.3f}"
            f"  p50 {row['chunk_ms'].get('median', float('nan')):.2f} ms"
        )
    budget = {task: {**asdict(each), "batch_size": BATCH_SIZE} for task, each in BUDGETS.items()}
    result = write_result("families", {"budget": budget, "cost": COST, "rows": rows})
    print(f"wrote {result}")
    draw(rows, sorted(families()), result.with_suffix(".png"))


def compare(rows: list[dict[str, Any]], task: str) -> None:
    """Add to each row its difference from the reference on the same seeds, with its interval."""
    found = [row for row in rows if row["recommended"] and row["family"] == REFERENCE]
    for row in rows if found else []:
        n = min(row["n_episodes"], found[0]["n_episodes"])
        if task == "pick_place":
            pair = [[int(digit) for digit in r["successes"][:n]] for r in (row, found[0])]
            difference = compare_rates(*pair).difference
        else:
            pair = [[float(score) for score in r["scores"].split()[:n]] for r in (row, found[0])]
            difference = compare_means(*pair).difference
        row["difference"] = [difference.low, difference.estimate, difference.high]


def read(path: Path) -> dict[str, Any]:
    """Return a cell's file, empty where there is none."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a cell's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    temporary.write_text(json.dumps(record, default=np.ndarray.tolist) + "\n")
    temporary.replace(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=BUDGETS, help="train and roll out on this task")
    parser.add_argument("--families", nargs="+", default=families(), help="these only")
    parser.add_argument("--recommended", action="store_true", help="no other evaluations")
    parser.add_argument("--latency", action="store_true", help="time every cell that is there")
    parser.add_argument("--repeats", type=int, default=60, help="chunks timed for each cell")
    arguments = parser.parse_args(argv)
    pin_threads(1)
    print(f"{machine()['cpu']}, one thread")
    if arguments.task:
        sweep(arguments.task, arguments.families, (0,) if arguments.recommended else (0, *NFES))
    if arguments.latency:
        measure_latency(arguments.repeats)
    collect()


if __name__ == "__main__":
    main()

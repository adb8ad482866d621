"""Every named family under one budget: success by number of network evaluations.

Each family of `configs/family` is trained on the same demonstrations with the same backbone, steps
and seed (families that differ only in how they sample share one training), then rolled out from the
same seeds at 1, 2, 4, 8 and 16 evaluations a chunk, and at 100 for DDPM. Each cell is written as
soon as it is known, and a second call goes on where the first stopped. Latency is measured at the
end, on an otherwise idle machine, by `--latency`.

    python benchmarks/families.py --task pick_place
    python benchmarks/families.py --task gym_pusht --data data/pusht_human.zarr
    python benchmarks/families.py --latency
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, pin_threads, summary, write_result

from kinoise.envs.intervals import compare_means, compare_rates
from kinoise.policy import load_policy
from kinoise.policy.build import build
from kinoise.policy.checkpoints.folder import read_meta
from kinoise.policy.errors import PolicyError
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.progress import Progress
from kinoise.scripts.command.settings import settings_of
from kinoise.scripts.evaluation import roll_out, summarise
from kinoise.scripts.train import train

NFES = (1, 2, 4, 8, 16)
SLOW = {"ddpm": (100,)}
#: What the others are compared with, on the same seeds.
REFERENCE = ("flow_matching", 16)
FIRST_SEED = 400_000
#: Task -> optimizer steps and learning rate of every family. Push-T needs the larger rate: with
#: PickPlace's, 3000 steps of flow matching score .22.
BUDGETS = {"pick_place": (3000, 1e-3), "gym_pusht": (3500, 4e-3)}
#: Backbones of the families that are about a backbone, small enough for the common budget.
SMALLER = {
    "dit": ["policy.network.width=64", "policy.network.depth=4"],
    "unet": ["policy.network.down_dims=[32,64,128]"],
}
FOLDER = Path("runs/families")


@dataclass(frozen=True)
class Cell:
    """One family on one task at one number of evaluations."""

    task: str
    family: str
    nfe: int

    @property
    def path(self) -> Path:
        return FOLDER / self.task / "cells" / f"{self.family}_{self.nfe:03d}.json"


def cells(task: str, family: str) -> list[Cell]:
    """Return the cells of a family, in order of evaluations."""
    return [Cell(task, family, nfe) for nfe in (*NFES, *SLOW.get(family, ()))]


def families() -> list[str]:
    """Return every named family, teachers before their students."""
    names = catalogue.groups()["family"]
    return sorted(names, key=lambda name: (name == "reflow", name))


def config_of(task: str, family: str, arguments: argparse.Namespace) -> Any:
    """Return the training configuration of a family under the common budget."""
    overrides = [
        f"task={task}",
        f"family={family}",
        f"data.path={arguments.data or f'data/{task}.zarr'}",
        f"trainer.n_steps={arguments.steps or BUDGETS[task][0]}",
        f"trainer.learning_rate={BUDGETS[task][1]}",
        "trainer.checkpoint_minutes=0.5",
        "evaluation.n_episodes=0",
        "n_threads=1",
        *(["data.pad_after=7"] if task == "gym_pusht" else []),
        *SMALLER.get(family, []),
    ]
    if family == "reflow":
        teacher = run_folder(task, config_of(task, "flow_matching", arguments))
        overrides.append(f"policy.coupling.teacher={teacher}")
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


def trained(task: str, family: str, arguments: argparse.Namespace) -> Path:
    """Train a family, or continue its training, or return the one that is there."""
    cfg = config_of(task, family, arguments)
    run = run_folder(task, cfg)
    last = run / "checkpoints" / "last"
    cfg.run = str(run)
    if not last.exists():
        train(settings_of("train", cfg))
    elif read_meta(last)["step"] < cfg.trainer.n_steps:
        cfg.resume = True
        train(settings_of("train", cfg))
    return run


def sampler_at(node: dict[str, Any], checkpoint: Path, nfe: int) -> tuple[dict[str, Any], int]:
    """Return the sampler with at most `nfe` evaluations, and how many it has.

    Raises:
        PolicyError: even one step evaluates the network more often.
    """
    path = load_policy(checkpoint).path
    for n_steps in range(nfe, 0, -1):
        chosen = {**node, "n_steps": n_steps}
        evaluations = build(chosen).table(path).n_evaluations
        if evaluations <= nfe:
            return chosen, evaluations
    raise PolicyError(f"{node['solver']} evaluates the network more than {nfe} times a step")


def run_cell(cell: Cell, run: Path, arguments: argparse.Namespace) -> None:
    """Roll a cell out and write it down."""
    cfg = config_of(cell.task, cell.family, arguments)
    node = assembly.plain(cfg.policy.sampler)
    try:
        sampler, evaluations = sampler_at(node, run, cell.nfe)
    except PolicyError as error:
        write(cell.path, {"skipped": str(error)})
        return
    earlier = [read(c.path).get("nfe") for c in cells(cell.task, cell.family) if c.nfe < cell.nfe]
    if evaluations in earlier:
        write(cell.path, {"skipped": f"the same as at {evaluations} evaluations"})
        return
    guidance = assembly.plain(cfg.policy)["guidance"]
    episodes = roll_out(
        tasks.make_env(tasks.task_of(cfg)),
        assembly.controller_factory(run, sampler=sampler, guidance=guidance),
        label=f"{cell.task} {cell.family} NFE {evaluations}",
        n_episodes=arguments.episodes,
        first_seed=FIRST_SEED,
        n_envs=16,
        n_workers=0,
    )
    write(
        cell.path,
        {
            "task": cell.task,
            "family": cell.family,
            "nfe": evaluations,
            "sampler": sampler,
            "guidance": guidance,
            "run": run.name,
            "first_seed": FIRST_SEED,
            **summarise(episodes),
            "successes": [int(e.success) for e in episodes],
            "scores": [round(float(e.score), 4) for e in episodes],
        },
    )


def sweep(task: str, arguments: argparse.Namespace) -> None:
    """Train and roll out whatever is not there yet."""
    for family in arguments.families or families():
        missing = [cell for cell in cells(task, family) if not cell.path.exists()]
        if not missing:
            continue
        print(f"--- {task}: {family}", flush=True)
        run = trained(task, family, arguments)
        for cell in missing:
            run_cell(cell, run, arguments)


def measure_latency(arguments: argparse.Namespace) -> None:
    """Time one chunk of every cell, batch 1 on one thread, and write it beside the cell."""
    known = [read(path) for path in sorted(FOLDER.glob("*/cells/*.json"))]
    known = [row for row in known if "nfe" in row]
    with Progress("latency", len(known), "cells") as progress:
        for row in known:
            run = FOLDER / row["task"] / row["run"]
            policy = load_policy(run, sampler=row["sampler"], guidance=row["guidance"])
            obs = {k: torch.zeros(1, 2, *shape) for k, shape in policy.obs_shapes.items()}
            samples = []
            for repeat in range(arguments.repeats + 5):
                began = time.perf_counter()
                policy.sample(obs)
                if repeat >= 5:
                    samples.append(1e3 * (time.perf_counter() - began))
            name = f"{row['family']}_{row['nfe']:03d}.json"
            write(FOLDER / row["task"] / "latency" / name, summary(samples))
            progress.advance()


def collect(arguments: argparse.Namespace) -> None:
    """Put all cells into one result and print it."""
    rows = []
    for path in sorted(FOLDER.glob("*/cells/*.json")):
        row = read(path)
        if "nfe" not in row:
            continue
        latency = FOLDER / row["task"] / "latency" / f"{row['family']}_{row['nfe']:03d}.json"
        row["chunk_ms"] = read(latency)
        row["parameters"] = parameters(FOLDER / row["task"] / row["run"])
        rows.append(row)
    for task in BUDGETS:
        of_task = [row for row in rows if row["task"] == task]
        compare(of_task, task)
        for row in of_task:
            low, high = row["success_interval"]
            print(
                f"{task:11s}{row['family']:24s}{row['nfe']:4d}  success {row['success']:.2f} "
                f"[{low:.2f}, {high:.2f}]  score {row['score']:.3f}"
                f"  p50 {row['chunk_ms'].get('median', float('nan')):.2f} ms"
            )
    budget = {
        task: {"steps": steps, "learning_rate": rate, "batch_size": 256, "seed": 0}
        for task, (steps, rate) in BUDGETS.items()
    }
    for row in rows:
        # In the order of the seeds, compactly: a line each, not fifty.
        row["successes"] = "".join(map(str, row["successes"]))
        row["scores"] = " ".join(f"{score:.3f}" for score in row["scores"])
    result = write_result("families", {"budget": budget, "rows": rows})
    print(f"wrote {result}")
    draw(rows, result.with_suffix(".png"))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw success (PickPlace) and score (Push-T) of every family by evaluations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    titles = {
        "pick_place": ("success", "PickPlace, success"),
        "gym_pusht": ("score", "Push-T, score"),
    }
    names, nfes = families(), [*NFES, 100]
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.28 * len(names) + 1), sharey=True)
    for axis, (task, (key, title)) in zip(axes, titles.items(), strict=True):
        grid = np.full((len(names), len(nfes)), np.nan)
        for row in rows:
            if row["task"] == task:
                column = min(k for k, nfe in enumerate(nfes) if row["nfe"] <= nfe)
                grid[names.index(row["family"]), column] = row[key]
        axis.imshow(grid, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for (i, k), value in np.ndenumerate(grid):
            if not np.isnan(value):
                colour = "white" if value < 0.6 else "black"
                axis.text(k, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
        axis.set_xticks(range(len(nfes)), [f"{nfe}" for nfe in nfes])
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xlabel("network evaluations, at most")
        axis.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def compare(rows: list[dict[str, Any]], task: str) -> None:
    """Add to each row its difference from the reference on the same seeds, with its interval."""
    reference = [row for row in rows if (row["family"], row["nfe"]) == REFERENCE]
    if not reference:
        return
    for row in rows:
        if task == "pick_place":
            comparison = compare_rates(row["successes"], reference[0]["successes"])
        else:
            comparison = compare_means(row["scores"], reference[0]["scores"])
        difference = comparison.difference
        row["difference"] = [difference.low, difference.estimate, difference.high]


def parameters(run: Path) -> int:
    """Return the number of parameters of a run's policy."""
    return sum(p.numel() for p in load_policy(run).parameters())


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
    parser.add_argument("--data", help="its data set; data/TASK.zarr by default")
    parser.add_argument("--families", nargs="+", help="these only")
    parser.add_argument("--steps", type=int, help="optimizer steps of each training")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--latency", action="store_true", help="time every cell that is there")
    parser.add_argument("--repeats", type=int, default=60, help="chunks timed for each cell")
    arguments = parser.parse_args(argv)
    pin_threads(1)
    print(f"{machine()['cpu']}, one thread")
    if arguments.task:
        sweep(arguments.task, arguments)
    if arguments.latency:
        measure_latency(arguments)
    collect(arguments)


if __name__ == "__main__":
    main()

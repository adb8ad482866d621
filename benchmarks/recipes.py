"""Every recipe on every data set at hand, after equal CPU time of training.

A cell is a data set, a recipe and a training seed: it is trained for the same CPU minutes (the
steps follow from a measured pace), rolled out on 100 fresh seeds that are the same for every cell
of a data set, and written as a JSON file as soon as it is known. A second call goes on where the
first stopped, in the middle of a training too. A data set whose file or simulator is absent is
left out and said.

    python benchmarks/recipes.py --minutes 20
    python benchmarks/recipes.py --data pick_place push_t --recipes none auto --seeds 0
    python benchmarks/recipes.py --table
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import machine, pin_threads, write_result
from recipe_table import markdown, table

from kinoise.datasets.moments import compute_moments
from kinoise.policy import load_policy
from kinoise.policy.checkpoints import read_config, read_meta
from kinoise.scripts import assembly, recipes, tasks
from kinoise.scripts.command.errors import user_line
from kinoise.scripts.command.settings import prepare
from kinoise.scripts.eval import evaluate
from kinoise.scripts.recipes.pace import steps_per_second
from kinoise.scripts.train import train

FOLDER = Path("runs/recipes")
FIRST_SEED = 500_000
N_EPISODES = 100
# Executed actions of a chunk that are compared on held-out episodes: as many as any recipe has.
N_COMPARED = 4
#: The Python of the environment that KinDER is installed in.
KINDER_PYTHON = os.environ.get("KINDER_PYTHON", "kinder/.venv/bin/python")


@dataclass(frozen=True)
class Data:
    """One data set.

    Attributes:
        path: where it stands.
        made_by: the command that makes it.
        metric: "success" or "score" of rollouts, or "action_error" on held-out episodes where
            there is no simulator.
        train: overrides of its training.
        rollout: overrides of its evaluation.
    """

    path: str
    made_by: str
    metric: str
    train: tuple[str, ...]
    rollout: tuple[str, ...] = ()


def kinder(name: str, max_steps: int) -> Data:
    """Return the row of a KinDER task, whose simulator lives in an environment of its own."""
    return Data(
        path=f"data/{name}.zarr",
        made_by=f"kinoise import ../shared/data/kinder/{name}.npz data/{name}.zarr",
        metric="success",
        train=(),
        rollout=(
            f"env=gym:kinder/{name}-v0",
            "env_setup=kinder:register_all_environments",
            f"env_python={KINDER_PYTHON}",
            "success=terminated",
            f"max_steps={max_steps}",
        ),
    )


DATA = {
    "pick_place": Data(
        "data/pick_place.zarr", "kinoise collect task=pick_place", "success", ("task=pick_place",)
    ),
    "push_t": Data("data/push_t.zarr", "kinoise collect task=push_t", "success", ("task=push_t",)),
    "pusht_human": Data(
        "data/pusht_human.zarr",
        "kinoise import ../shared/data/pusht_human.zarr data/pusht_human.zarr origin=pusht_human",
        "score",
        ("task=gym_pusht",),
    ),
    # Only the agent's position is observed in this copy: it cannot be rolled out without pictures.
    "pusht_lerobot": Data(
        "data/pusht_lerobot.zarr",
        "kinoise import ../shared/data/pusht_human_lerobot data/pusht_lerobot.zarr",
        "action_error",
        (),
    ),
    "Motion2D-p2": kinder("Motion2D-p2", 300),
    "StickButton2D-b1": kinder("StickButton2D-b1", 300),
    "DynPushPullHook2D-o5": kinder("DynPushPullHook2D-o5", 600),
    "lift": Data(
        "data/lift.zarr",
        "kinoise import ../shared/data/lift_ph10_image.hdf5 data/lift.zarr",
        "action_error",
        (),
    ),
}
#: Overrides of each recipe; `--recipes NAME=OVERRIDE,OVERRIDE` tries another.
RECIPES: dict[str, tuple[str, ...]] = {
    "none": ("recipe=none",),
    "auto": ("recipe=auto",),
    "diffusion_policy": ("recipe=diffusion_policy",),
}


@dataclass(frozen=True)
class Cell:
    """One data set, one recipe, one training seed."""

    data: str
    recipe: str
    seed: int

    @property
    def folder(self) -> Path:
        return FOLDER / self.data / f"{self.recipe}_seed{self.seed}"

    @property
    def path(self) -> Path:
        return self.folder.with_suffix(".json")

    @property
    def row(self) -> Data:
        return DATA[self.data]


def overrides_of(cell: Cell, recipe: Sequence[str]) -> list[str]:
    """Return the overrides of a cell's training."""
    row = cell.row
    held_out = ["data.validation_fraction=0.1"] if row.metric == "action_error" else []
    return [
        f"data.path={row.path}",
        f"run={cell.folder}",
        f"seed={cell.seed}",
        "n_threads=1",
        "logger=none",
        "evaluation.n_episodes=0",
        f"trainer.best_by={row.metric}",
        "trainer.checkpoint_minutes=1",
        *held_out,
        *row.train,
        *recipe,
    ]


def trained(cell: Cell, recipe: Sequence[str], minutes: float) -> None:
    """Train a cell for its CPU minutes, or go on with its training."""
    words = overrides_of(cell, recipe)
    if (cell.folder / "checkpoints" / "last").exists():
        if read_meta(cell.folder / "checkpoints" / "last")["step"] < _planned(cell):
            train(prepare("train", [*words, "resume=true"]))
        return
    if cell.folder.exists():
        shutil.rmtree(cell.folder)  # killed before its first checkpoint
    train(budgeted(prepare("train", words), minutes))


def budgeted(settings: Any, minutes: float, measure: Any = steps_per_second) -> Any:
    """Return settings with as many steps as take these minutes of the processor's own time."""
    task = tasks.completed(tasks.task_of(settings), settings.data.path)
    buffer = assembly.open_data(settings, task)
    settled = recipes.settle(
        replace(settings, minutes=minutes),
        task,
        buffer,
        measure=partial(measure, clock=time.process_time),
    )
    return replace(settled, minutes=None)


def _planned(cell: Cell) -> int:
    """Return the steps that a begun training was given."""
    return int(read_config(cell.folder / "checkpoints" / "last")["trainer"]["n_steps"])


def run_cell(cell: Cell, recipe: Sequence[str], minutes: float) -> None:
    """Train, roll out and write a cell down."""
    began = time.process_time()
    trained(cell, recipe, minutes)
    meta = read_meta(cell.folder / "checkpoints" / "last")
    record: dict[str, Any] = {
        "data": cell.data,
        "recipe": cell.recipe,
        "overrides": list(recipe),
        "seed": cell.seed,
        "minutes": minutes,
        "cpu_seconds": time.process_time() - began,
        "steps": meta["step"],
        "choices": read_config(cell.folder / "checkpoints" / "last")["recipe"],
    }
    if cell.row.metric == "action_error":
        record["action_error"] = held_out_error(cell, recipe)
    else:
        record |= rolled_out(cell)
    write(cell.path, record)


def rolled_out(cell: Cell) -> dict[str, Any]:
    """Return the outcome of every episode, in the order of the seeds."""
    words = [
        f"checkpoint={cell.folder}",
        f"n_episodes={N_EPISODES}",
        f"first_seed={FIRST_SEED}",
        "videos=false",
        "n_workers=0",
        *cell.row.rollout,
    ]
    episodes = evaluate(prepare("eval", words)).figures["episodes"]
    ordered = sorted(episodes, key=lambda each: int(each["seed"]))
    return {
        "successes": "".join(str(int(each["success"])) for each in ordered),
        "scores": " ".join(f"{each['score']:.4f}" for each in ordered),
    }


@torch.no_grad()
def held_out_error(cell: Cell, recipe: Sequence[str]) -> float:
    """Return the root mean square error of the first actions executed on held-out episodes.

    In units of the training data's own spread, whatever the recipe's normalisation and chunk are.
    """
    settings = prepare("train", [*overrides_of(cell, recipe), "resume=true"])
    task = tasks.completed(tasks.task_of(settings), settings.data.path)
    buffer = assembly.open_data(settings, task)
    loaders = assembly.load_windows(recipes.settle(settings, task, buffer), buffer, task)
    assert loaders.validation is not None
    shown = loaders.train.windows.episodes
    spread = torch.as_tensor(compute_moments(buffer, ["action"], episodes=shown)["action"]["std"])

    policy = load_policy(cell.folder)
    generator = torch.Generator().manual_seed(0)
    executed = slice(policy.n_obs_steps - 1, policy.n_obs_steps - 1 + N_COMPARED)
    squares = []
    for batch in loaders.validation.batches():
        planned = policy.sample(batch["obs"], generator)[:, executed]
        error = (planned - batch["action"][:, executed])[..., spread > 0] / spread[spread > 0]
        squares.append(error.square().mean((1, 2)))
    return float(torch.cat(squares).mean().sqrt())


def sweep(cells: Sequence[Cell], choices: dict[str, tuple[str, ...]], minutes: float) -> None:
    """Do whatever is not there yet; a cell that the machine lacks something for is left out."""
    for cell in cells:
        if cell.path.exists():
            continue
        if not Path(cell.row.path).exists():
            print(f"left out {cell.data}: no {cell.row.path}; make it with `{cell.row.made_by}`")
            continue
        print(f"--- {cell.data}: {cell.recipe}, seed {cell.seed}", flush=True)
        try:
            run_cell(cell, choices[cell.recipe], minutes)
        except Exception as error:
            line = user_line(error)
            if line is None:
                raise
            print(f"left out {cell.data}: {line}", flush=True)


def read_all() -> Iterator[dict[str, Any]]:
    """Yield every cell that is there."""
    for path in sorted(FOLDER.glob("*/*.json")):
        yield json.loads(path.read_text())


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a cell's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    temporary.write_text(json.dumps(record) + "\n")
    temporary.replace(path)


def recipes_of(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return name -> overrides of `NAME` and `NAME=OVERRIDE,OVERRIDE` (`;` between them too)."""
    found = {}
    for word in words:
        name, _, own = word.partition("=")
        separator = ";" if ";" in own else ","
        found[name] = tuple(own.split(separator)) if own else RECIPES[name]
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="these only")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), help="NAME, or NAME=a=1;b=2")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the processor, a training")
    parser.add_argument("--table", action="store_true", help="write the table of what is there")
    arguments = parser.parse_args(argv)
    pin_threads(1)
    if not arguments.table:
        print(f"{machine()['cpu']}, one thread")
        choices = recipes_of(arguments.recipes)
        cells = [
            Cell(data, recipe, seed)
            for seed in arguments.seeds
            for data in arguments.data
            for recipe in choices
        ]
        sweep(cells, choices, arguments.minutes)
    rows = table(list(read_all()), {name: row.metric for name, row in DATA.items()})
    result = write_result("recipes", {"rows": rows})
    result.with_suffix(".md").write_text(markdown(rows))
    print(markdown(rows))
    print(f"wrote {result}")


if __name__ == "__main__":
    main()

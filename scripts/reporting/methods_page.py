"""docs/methods.md, written from the registry that is also what runs: the configs' groups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command import catalogue
from ..command.errors import UsageError

#: The slots of a method, in the order of the page.
SLOTS = (
    "path",
    "target",
    "time",
    "weight",
    "coupling",
    "objective",
    "sampler",
    "guidance",
    "execution",
    "transform",
    "network",
    "encoder",
)
#: Tasks of the sweep: what is reported, and under which name.
FIGURES = {"pick_place": ("success", "PickPlace, success"), "gym_pusht": ("score", "Push-T, score")}


@dataclass(frozen=True)
class Family:
    """A named method: its choice in the slots, and where it comes from."""

    name: str
    about: str
    slots: Mapping[str, str]
    formula: str
    paper: str
    oracle: str


def families() -> list[Family]:
    """Return every named family, read from `configs/family`."""
    import yaml

    found = []
    for name in catalogue.groups().get("family", []):
        file = catalogue.config_folder() / "family" / f"{name}.yaml"
        node = yaml.safe_load(file.read_text(encoding="utf-8"))
        choices = {
            key.removeprefix("override /"): option
            for entry in node["defaults"]
            for key, option in entry.items()
        }
        facts = node["family"]
        found.append(
            Family(
                name,
                catalogue.description(file),
                choices,
                facts["formula"],
                facts["paper"],
                facts["oracle"],
            )
        )
    return found


def read_figures(path: Path) -> dict[str, Any]:
    """Return the record of the last sweep, `benchmarks/results/families.json`.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(
            f"no figures at '{path}'; make them with `kinoise bench families`, or give none"
        )
    return dict(json.loads(path.read_text()))


def page(figures: Mapping[str, Any] | None = None) -> str:
    """Return the page as Markdown; `figures` is the record of a sweep over the families."""
    parts = [
        "# Methods",
        "Written by `kinoise methods out=docs/methods.md "
        "figures=benchmarks/results/families.json`; edit the YAML files under `configs/` instead.",
        "A method is a choice in each slot of one policy class. `kinoise train slot=option` makes "
        "a choice, `kinoise train family=name` all of a named method's at once; both combine.",
        "## Slots",
        *(_slot(slot) for slot in SLOTS),
        "## Families",
        *_sweep_note(figures),
        *(_family(family, figures) for family in families()),
    ]
    return "\n\n".join(parts) + "\n"


def _slot(slot: str) -> str:
    root = catalogue.config_folder()
    rows = [
        f"| `{slot}={option}` | {catalogue.description(root / slot / f'{option}.yaml')} |"
        for option in catalogue.groups()[slot]
    ]
    return "\n".join([f"### {slot}", "", "| choice | what it is |", "| --- | --- |", *rows])


def _sweep_note(figures: Mapping[str, Any] | None) -> list[str]:
    if figures is None:
        return []
    machine = figures["machine"]
    budgets = " and ".join(
        f"{task} {budget['n_steps']} steps of batch {budget['batch_size']} at learning rate "
        f"{budget['learning_rate']:g}"
        for task, budget in figures["budget"].items()
    )
    fewer = ", ".join(f"`{name}` {cost:g} times" for name, cost in figures["cost"].items())
    return [
        "The figures are those of `python benchmarks/families.py --task pick_place`, `--task "
        f"gym_pusht` (human demonstrations) and `--latency` on {figures['date'][:10]}, "
        f"{machine['cpu']}, one thread. Every family has its own recommended settings, those of "
        f"its YAML, and the same training time: on {budgets} of the plain residual perceptron, "
        f"and fewer where a step costs more ({fewer}). One seed of training; 100 episodes at the "
        "recommended number of evaluations, 50 at others, the same seeds for all. Intervals are of "
        "95 %: Wilson for success, Gaffke's for scores. Latency is the median time of the "
        "thread for one chunk. What has no figure was not run.",
        "![Success and score of every family by network evaluations]"
        "(../benchmarks/results/families.png)",
        _recommended(figures),
    ]


def _recommended(figures: Mapping[str, Any]) -> str:
    """Return the table of all families at their recommended numbers of evaluations."""
    lines = ["| family | NFE | " + " | ".join(title for _, title in FIGURES.values())]
    lines[0] += " | training | chunk p50 |"
    lines.append("| --- " * (len(FIGURES) + 4) + "|")
    for family in families():
        rows = [row for row in figures["rows"] if row["family"] == family.name]
        here = {row["task"]: row for row in rows if row["recommended"]}
        if not here:
            continue
        cells = [_figure(here.get(task), key) for task, (key, _) in FIGURES.items()]
        some = next(iter(here.values()))
        steps = " / ".join(str(here[task]["training_steps"]) for task in FIGURES if task in here)
        lines.append(
            f"| [{family.name}](#{family.name}) | {some['nfe']} | {' | '.join(cells)} "
            f"| {steps} steps | {_latency(here.values())} |"
        )
    return "\n".join(lines)


def _family(family: Family, figures: Mapping[str, Any] | None) -> str:
    choice = " ".join(f"{slot}={option}" for slot, option in family.slots.items())
    lines = [
        f"### {family.name}",
        "",
        f"{family.about[0].upper()}{family.about[1:]}.",
        "",
        f"    {family.formula}",
        "",
        f"- `kinoise train family={family.name}`, which is `{choice}`",
        f"- paper: {family.paper}",
        f"- oracle: `{family.oracle}`",
    ]
    return "\n".join(lines + _figures(family.name, figures))


def _figures(name: str, figures: Mapping[str, Any] | None) -> list[str]:
    """Return the family's table of the sweep: evaluations, one column a task, latency."""
    rows = [row for row in (figures or {}).get("rows", []) if row["family"] == name]
    if not rows:
        return []
    lines = ["", "| NFE | " + " | ".join(title for _, title in FIGURES.values()) + " | chunk p50 |"]
    lines.append("| --- " * (len(FIGURES) + 2) + "|")
    for nfe in sorted({row["nfe"] for row in rows}):
        here = {row["task"]: row for row in rows if row["nfe"] == nfe}
        cells = [_figure(here.get(task), key) for task, (key, _) in FIGURES.items()]
        own = any(row["recommended"] for row in here.values())
        number = f"**{nfe}**" if own else f"{nfe}"
        lines.append(f"| {number} | {' | '.join(cells)} | {_latency(here.values())} |")
    return lines


def _latency(rows: Iterable[Mapping[str, Any]]) -> str:
    times = [row["chunk_ms"]["median"] for row in rows if row.get("chunk_ms")]
    return f"{min(times):.2f} ms" if times else ""


def _figure(row: Mapping[str, Any] | None, key: str) -> str:
    if row is None:
        return ""
    low, high = row[f"{key}_interval"]
    return f"{row[key]:.2f} [{low:.2f}, {high:.2f}]"

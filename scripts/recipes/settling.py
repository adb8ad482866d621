"""Fill a training's settings in: by the rules of its recipe, by a budget, or as its run was begun.

What the user gives always holds: a rule is asked only for the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tasks
from ..command.errors import UsageError
from ..command.files import write_atomically
from ..command.progress import say
from ..command.settings import plain
from . import pace
from .given import Baseline
from .rule import Choice, decide
from .rules import SCHEDULE, SHAPE, WARMUP
from .table import lines, stored

if TYPE_CHECKING:
    from kinoise.datasets.inspection import Facts
    from kinoise.datasets.storage import ReplayBuffer

Pace = Callable[..., float]
AUTO = "auto"
RECORD = "recipe.json"
BUDGET = "trainer.n_steps"
#: What a recipe may set; nothing else is taken from a run's record.
SETTINGS = frozenset(rule.setting for rule in (*SHAPE, *SCHEDULE))


def settle(
    settings: Any, task: tasks.TaskSettings, buffer: ReplayBuffer, *, measure: Pace | None = None
) -> Any:
    """Return a training's settings as its recipe and its budget of minutes fill them in.

    A run that is resumed keeps what was chosen when it was begun. The choices are printed with
    their reasons and stand in `recipe.choices` of the result.

    Args:
        settings: of `kinoise train`.
        task: what is learnt.
        buffer: its data.
        measure: returns the steps a second of settings, a task and a data set.

    Raises:
        UsageError: a budget and a number of steps are both given.
    """
    if "choices" in settings.recipe:
        return settings  # settled already
    baseline = Baseline.of(settings.given)
    if settings.resume:
        return _as_begun(settings, baseline)
    if settings.recipe["name"] != AUTO and settings.minutes is None:
        return settings
    if settings.minutes is not None and baseline.names(BUDGET):
        raise UsageError("minutes and trainer.n_steps both say how long to train; give one")

    choices: list[Choice] = []
    if settings.recipe["name"] == AUTO:
        facts = _facts(settings, task, buffer)
        choices += decide(SHAPE, facts, baseline.settled, baseline.given)
        settings = baseline.applied(settings, _kept(choices))
    if settings.minutes is not None:
        budget = _budget(settings, task, buffer, measure or pace.steps_per_second)
        choices = [each for each in choices if each.setting != BUDGET] + [budget]
        settings = baseline.applied(settings, _kept(choices))

    if settings.recipe["name"] == AUTO:
        settled = {**baseline.settled, **_kept(choices)}
        choices += decide(SCHEDULE, facts, settled, baseline.given)
    else:
        choices += _shorter_warmup(settings, baseline)
    settings = baseline.applied(settings, _kept(choices))
    for line in lines(choices, settings.recipe["name"]):
        say(line)
    return replace(settings, recipe={**settings.recipe, "choices": stored(choices)})


def record(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write what a recipe chose beside the run's checkpoints, where it chose anything."""
    if recipe.get("choices"):
        write_atomically(folder / RECORD, json.dumps(plain(recipe), indent=2) + "\n")


def propose(facts: Facts) -> list[Choice]:
    """Return what the rules of `recipe=auto` say of data, over the defaults."""
    return decide(SHAPE, facts, Baseline.of(()).settled, frozenset())


def _as_begun(settings: Any, baseline: Baseline) -> Any:
    """Return the settings with what was chosen when the run was begun."""
    from kinoise.policy.checkpoints import read_config

    begun = read_config(settings.run / "checkpoints" / "last").get("recipe")
    if not isinstance(begun, Mapping) or not isinstance(begun.get("choices"), list):
        return settings
    if baseline.names("recipe") and begun.get("name") != settings.recipe["name"]:
        return settings
    kept = _checked(begun["choices"])
    return replace(
        baseline.applied(settings, {k: v for k, v in kept.items() if k not in baseline.given}),
        recipe=plain(begun),
    )


def _checked(rows: Sequence[Any]) -> dict[str, Any]:
    """Return the settings of a stored table: those that a recipe may set, as plain values."""
    for row in rows:
        if not isinstance(row, Mapping) or row.get("setting") not in SETTINGS or "value" not in row:
            raise UsageError("the run's record of its recipe is damaged; give recipe=none")
    return {row["setting"]: row["value"] for row in rows}


def _facts(settings: Any, task: tasks.TaskSettings, buffer: ReplayBuffer) -> Facts:
    from kinoise.datasets.inspection import compute_facts

    n_episodes = settings.data.n_episodes
    episodes = None if n_episodes is None else range(min(n_episodes, buffer.n_episodes))
    facts = compute_facts(buffer, task.obs_keys, episodes)
    if facts is None:
        raise UsageError(
            f"recipe=auto finds no step to look at in {buffer.path}; look at it with `kinoise "
            "inspect`, or give recipe=none"
        )
    return facts


def _budget(settings: Any, task: tasks.TaskSettings, buffer: ReplayBuffer, measure: Pace) -> Choice:
    """Return the steps that fit into the minutes."""
    per_second = measure(settings, task, buffer)
    steps = max(1, int(60 * settings.minutes * per_second))
    reason = f"{settings.minutes:g} minutes at {per_second:.3g} steps a second, measured here"
    return Choice(BUDGET, steps, reason=reason, given=False, advised=steps)


def _shorter_warmup(settings: Any, baseline: Baseline) -> list[Choice]:
    """Return a warm-up that the budget of a fixed recipe has room for."""
    steps = settings.trainer[BUDGET.rpartition(".")[2]]
    own = settings.trainer["warmup_steps"]
    if baseline.names(WARMUP.setting) or own <= steps // 10:
        return []
    least = max(1, steps // 10)
    reason = f"a tenth of {steps} steps"
    return [Choice(WARMUP.setting, least, reason=reason, given=False, advised=least)]


def _kept(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return what the rules set, without what the user gave."""
    return {each.setting: each.value for each in choices if not each.given}

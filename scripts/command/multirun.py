"""Many runs with one command: Hydra's `--multirun`, its sweepers and launchers.

Every job is checked before the first one runs. A job's results stand in its own folder; when all
have ended they are gathered in one table.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import hydra
from hydra.experimental.callback import Callback

from . import catalogue
from .composing import compose, remember, search_path
from .errors import UsageError, user_line
from .files import write_atomically
from .settings import settings_of
from .verbs import VERBS, Verb

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Jobs of a product of choices that are checked before any of them runs.
N_CHECKED = 64
RESULT = "result.json"


def run_many(verb: Verb, overrides: Sequence[str], extra: Sequence[Path] = ()) -> None:
    """Run a verb once for every choice in the overrides, and gather the figures.

    Args:
        verb: one with figures to gather.
        overrides: in Hydra's grammar, sweeps such as `seed=0,1,2` among them.
        extra: folders of the user's own YAML files.

    Raises:
        UsageError: a job that cannot run, before any does; or jobs that failed.
    """
    if not verb.figures:
        able = ", ".join(f"'{each.name}'" for each in VERBS.values() if each.figures)
        raise UsageError(f"'{verb.name}' makes no figures to gather; --multirun is for {able}")
    module = importlib.import_module(f"kinoise.scripts.{verb.module}")
    check = getattr(module, "check", lambda settings: settings)
    for job in itertools.islice(jobs(overrides), N_CHECKED):
        check(settings_of(verb.name, compose(verb.name, job, extra=extra)))
    decorated = hydra.main(
        version_base=None, config_path=str(catalogue.config_folder()), config_name=verb.name
    )
    gather = "+hydra.callbacks.gather._target_=kinoise.scripts.command.multirun.Gather"
    words = [*overrides, *search_path(overrides, extra), gather]
    before = sys.argv
    sys.argv = [f"kinoise {verb.name}", "--multirun", *words]
    try:
        decorated(run_job)()
    except SystemExit as error:  # Hydra's way to end after it has printed what went wrong
        raise UsageError("a job failed; see above") from error
    finally:
        sys.argv = before
    if Gather.n_failed:
        raise UsageError(f"{Gather.n_failed} of the jobs failed; their errors are above")


def jobs(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield the overrides of every job of a product of choices.

    What only a sweeper can expand, such as `interval(0, 1)`, is left out.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    choices: list[list[str]] = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            choices.append([text])  # composing it says what is wrong
            continue
        if not override.is_sweep_override():
            choices.append([text])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
    yield from map(list, itertools.product(*choices))


def run_job(config: DictConfig) -> float | None:
    """Run one job in its own folder and return its merit, for sweepers that search.

    A job that the user can mend is recorded as failed, and the others go on.
    """
    from hydra.core.hydra_config import HydraConfig

    here = HydraConfig.get()
    verb = VERBS[str(here.job.config_name)]
    folder = Path(here.runtime.output_dir)
    given = list(here.overrides.task)
    if not any(text.partition("=")[0] == verb.figures for text in given):
        config[verb.figures] = str(folder)
    places = [text for text in here.overrides.hydra if text.startswith("hydra.searchpath=")]
    remember(config, [*given, *places])
    record: dict[str, Any] = {"number": here.job.num, "overrides": _pairs(given)}
    try:
        module = importlib.import_module(f"kinoise.scripts.{verb.module}")
        figures: Mapping[str, Any] = module.run(settings_of(verb.name, config))
    except Exception as error:
        line = user_line(error)
        if line is None:
            raise
        print(f"kinoise: error: {line}", file=sys.stderr)
        write_atomically(folder / RESULT, json.dumps({**record, "error": line}))
        return None
    numbers = {key: value for key, value in figures.items() if isinstance(value, (int, float))}
    write_atomically(folder / RESULT, json.dumps({**record, "figures": numbers}))
    merit = config.get("trainer", {}).get("best_by", "success")
    return numbers.get(merit, numbers.get("loss"))


class Gather(Callback):
    """Hydra's callback at the end of all jobs: their figures in one table.

    Attributes:
        n_failed: jobs of the latest sweep that failed; of the class, because Hydra makes the
            object and keeps it to itself.
    """

    n_failed: ClassVar[int] = 0

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write results.csv and results.json into the folder of the sweep, and print the table."""
        from ..reporting.sweep import gather, print_table, write_tables

        folder = Path(config.hydra.sweep.dir)
        records = gather(folder.rglob(RESULT))
        write_tables(folder, records)
        print_table(records)
        print(f"results {folder / 'results.csv'}")
        Gather.n_failed = sum("error" in record for record in records)


def _pairs(overrides: Sequence[str]) -> dict[str, str]:
    """Return the overrides as key -> value, as they were typed."""
    return {text.partition("=")[0]: text.partition("=")[2] for text in overrides}

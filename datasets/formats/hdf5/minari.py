"""Minari: `data/main_data.hdf5` with `episode_<i>/observations`, T + 1 rows for T actions.

Format: https://minari.farama.org/content/dataset_standards; `metadata.json` beside the file (or the
attributes of the file, in older versions) names the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError
from ...keys import ACTION
from ..importer import ForeignData, Found
from ..rules.arrays import SourceArray
from ..rules.episodes import Plan, from_episodes, natural
from ..rules.roles import asked_for, plain_key
from .images import with_pictures
from .reading import arrays_below, attributes, child, children, has, json_object, open_hdf5

FILE = "main_data.hdf5"
EPISODE = re.compile(r"episode_\d{1,15}")
OBS = "observations"
ACTIONS = "actions"
DESCRIPTION_BYTES = 1 << 22


class MinariImporter:
    """Reads Minari's data sets."""

    name = "minari"
    takes = "the folder of a Minari data set, or its data/main_data.hdf5"

    def recognises(self, path: Path) -> bool:
        """Say whether there is a first episode."""
        file = _file(path)
        return file is not None and has(file, "episode_0/actions", "episode_0/observations")

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        """Open a data set; see `Importer.open`. Nothing can be missing from one."""
        place = _file(path)
        if place is None:
            raise DatasetError(f"{path} holds no {FILE}; give the folder of a Minari data set")
        with open_hdf5(place) as file:
            names = natural(name for name in children(place, file) if EPISODE.fullmatch(name))
            if not names:
                raise DatasetError(f"{path} holds no episode_0; it is no Minari data set")

            def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
                below = arrays_below(place, child(place, file, names[index]))
                return nullcontext(with_pictures(path, below))

            with episode(0) as first:
                plan = _plan(path, first, keys)
            _describe(place, file, plan)
            data = from_episodes(path, names, episode, plan)
            yield replace(data, seeds=_seeds(place, file, names))


IMPORTER = MinariImporter()


def _file(path: Path) -> Path | None:
    for place in (path, path / FILE, path / "data" / FILE):
        if place.name == FILE and place.is_file():
            return place
    return None


def _plan(path: Path, arrays: Mapping[str, SourceArray], keys: Sequence[str] | None) -> Plan:
    if ACTIONS not in arrays:
        parts = [name for name in arrays if name.startswith(f"{ACTIONS}/")]
        raise DatasetError(
            f"{path}: the actions are no single array but {len(parts)} parts; flatten the action "
            "space before writing"
        )
    usual = {_key(name): name for name in arrays if name.partition("/")[0] == OBS}
    known = {plain_key(n): n for n in arrays if n != ACTIONS and n not in usual.values()}
    known = {**known, **usual, ACTION: ACTIONS}
    chosen = {ACTION: ACTIONS, **(usual if keys is None else {})}
    chosen.update(asked_for(path, keys or (), known, key_of=_key))

    roles = {source: f"key {key!r}" for key, source in chosen.items()}
    return Plan(
        keys=chosen,
        notes=[f"not carried over: {n}" for n in known.values() if n not in roles],
        found=tuple(
            Found(
                f"episode_*/{a.name}", a.shape, str(a.dtype), roles.get(a.name, "not carried over")
            )
            for a in arrays.values()
        ),
    )


def _key(name: str) -> str:
    return "obs" if name == OBS else plain_key(name.removeprefix(f"{OBS}/"))


def _describe(place: Path, file: Any, plan: Plan) -> None:
    """Keep the metadata, and name the environment that it tells of."""
    described = place.with_name("metadata.json")
    kept = attributes(place, file)
    if described.is_file() and described.stat().st_size <= DESCRIPTION_BYTES:
        kept.update(json_object(described.read_text("utf-8", errors="replace")))
    plan.kept.update(kept)

    spec = kept.get("env_spec")
    spec = json_object(spec) if isinstance(spec, str) else spec
    if isinstance(spec, Mapping) and isinstance(spec.get("id"), str):
        plan.stated["env_id"] = f"gym:{spec['id']}"
    plan.stated["action"] = _limits(kept.get("action_space"))
    plan.notes.append("Minari does not state the control rate, nor the action's meaning")


def _limits(space: Any) -> dict[str, Any]:
    """Return the limits of a Box of actions, where they are numbers in order."""
    box = json_object(space) if isinstance(space, str) else {}
    low = box.get("low")
    high = box.get("high")
    if not isinstance(low, list) or not isinstance(high, list) or len(low) != len(high):
        return {}
    numbers = all(isinstance(each, int | float) and abs(each) < 1e30 for each in (*low, *high))
    if not numbers or not all(a < b for a, b in zip(low, high, strict=True)):
        return {}
    return {"low": low, "high": high}


def _seeds(place: Path, file: Any, names: Sequence[str]) -> Any:
    """Return the seeds of the episodes where each has one."""
    seeds = [attributes(place, child(place, file, name)).get("seed") for name in names]
    if all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds):
        return np.array(seeds, dtype=np.int64)
    return None

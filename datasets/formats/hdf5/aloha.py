"""ALOHA and ACT: a folder of `episode_<i>.hdf5` with `/observations/qpos` and `/action`.

Format (Zhao et al. 2023b): github.com/tonyzhaozh/aloha and act. `/observations/images/<camera>`
holds pictures [T, h, w, 3], or packed ones [T, n] where the attribute `compress` is set. The action
is the position of the leader's joints: absolute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...keys import ACTION
from ..importer import ForeignData, Found
from ..plain.folders import files_of, is_folder_of
from ..rules.arrays import SourceArray
from ..rules.episodes import Plan, from_episodes
from ..rules.roles import asked_for, plain_key
from .images import with_pictures
from .reading import ENDINGS, arrays_below, attributes, has, open_hdf5

OBS = "observations/"
IMAGES = "observations/images/"
RATE_HZ = 50.0


class AlohaImporter:
    """Reads folders of ALOHA's and ACT's episodes."""

    name = "aloha"
    takes = "a folder of episode_0.hdf5, ... with /action and /observations/qpos"

    def recognises(self, path: Path) -> bool:
        """Say whether the first file holds joint positions and actions."""
        if not is_folder_of(path, *ENDINGS):
            return False
        try:
            return has(files_of(path, *ENDINGS)[0], ACTION, "observations/qpos")
        except (DatasetError, OSError):
            return False

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        """Open a folder; see `Importer.open`. Nothing can be missing from one."""
        files = files_of(path, *ENDINGS)

        @contextmanager
        def episode(index: int) -> Iterator[Mapping[str, SourceArray]]:
            with open_hdf5(files[index]) as file:
                yield with_pictures(files[index], arrays_below(files[index], file))

        with episode(0) as first:
            plan = _plan(path, first, keys)
        with open_hdf5(files[0]) as file:
            plan.kept.update(attributes(files[0], file))
        _state(plan)
        yield from_episodes(path, [file.name for file in files], episode, plan)


IMPORTER = AlohaImporter()


def _plan(path: Path, arrays: Mapping[str, SourceArray], keys: Sequence[str] | None) -> Plan:
    if ACTION not in arrays:
        raise DatasetError(f"{path}: the first episode has no 'action'; it is not of ALOHA")
    usual = {_key(name): name for name in arrays if name.startswith(OBS)}
    if "base_action" in arrays:
        usual["base_action"] = "base_action"
    known = {
        ACTION: ACTION,
        **{plain_key(n): n for n in arrays if n not in usual.values()},
        **usual,
    }
    chosen = {ACTION: ACTION, **(usual if keys is None else {})}
    chosen.update(asked_for(path, keys or (), known, key_of=_key))

    roles = {source: f"key {key!r}" for key, source in chosen.items()}
    return Plan(
        keys=chosen,
        notes=[f"not carried over: {arrays[n].text()}" for n in known.values() if n not in roles],
        found=tuple(
            Found(a.name, a.shape, str(a.dtype), roles.get(a.name, "not carried over"))
            for a in arrays.values()
        ),
    )


def _key(name: str) -> str:
    if name.startswith(IMAGES):
        return f"image_{plain_key(name.removeprefix(IMAGES))}"
    return plain_key(name.removeprefix(OBS))


def _state(plan: Plan) -> None:
    plan.stated["action"] = {"meaning": "absolute", "frame": "joint"}
    plan.notes.append("action: absolute joint positions of the leader, as ALOHA records them")
    plan.notes.append(f"the files do not state the rate; ALOHA's own is {RATE_HZ:g} Hz")
    if any(name == "base_action" for name in plan.keys):
        plan.notes.append(
            "base_action is a key of its own beside the action of the arms; it is commanded, not "
            "observed, so leave it out of obs_keys"
        )
    packed: Any = plan.kept.get("compress")
    if packed:
        plan.notes.append("pictures are decoded from JPEG, to RGB")

"""robomimic: `data/demo_<i>` with `actions` and `obs/<key>`, and `mask/<filter key>`.

Format (Mandlekar et al. 2021): https://robomimic.github.io/docs/datasets/overview.html. The JSON
text `env_args` of `data` names the environment and its controller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, nearest
from ...keys import ACTION
from ..importer import ForeignData, Found
from ..rules.arrays import SourceArray
from ..rules.episodes import Plan, from_episodes, natural
from ..rules.roles import plain_key
from .controllers import action_of
from .reading import arrays_below, attributes, child, children, has, json_object, open_hdf5

ACTIONS = "actions"
OBS = "obs/"
NOT_CARRIED = "not carried over"


class RobomimicImporter:
    """Reads low-dimensional and image data sets of robomimic."""

    name = "robomimic"
    takes = "an HDF5 file with data/demo_0/actions and data/demo_0/obs"

    def recognises(self, path: Path) -> bool:
        """Say whether there is a first demonstration."""
        if not has(path, "data"):
            return False
        with open_hdf5(path) as file:
            try:
                return _demos(path, file) != [] and _looks_right(path, file)
            except DatasetError:
                return False

    @contextmanager
    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> Iterator[ForeignData]:
        """Open a file; see `Importer.open`. Nothing can be missing from one."""
        with open_hdf5(path) as file:
            demos = _demos(path, file)
            if not demos:
                raise DatasetError(f"{path} holds no data/demo_0; it is no robomimic data set")

            def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
                return nullcontext(arrays_below(path, child(path, file, f"data/{demos[index]}")))

            with episode(0) as first:
                plan = _plan(path, first, keys)
            _read_env_args(path, file, plan)
            data = from_episodes(path, demos, episode, plan)
            yield _with_masks(path, file, demos, data)


IMPORTER = RobomimicImporter()


def _demos(path: Path, file: Any) -> list[str]:
    group = child(path, file, "data")
    names = children(path, group) if group is not None else []
    return natural(name for name in names if name.startswith("demo"))


def _looks_right(path: Path, file: Any) -> bool:
    demo = child(path, file, f"data/{_demos(path, file)[0]}")
    return child(path, demo, ACTIONS) is not None and child(path, demo, "obs") is not None


def _plan(path: Path, arrays: Mapping[str, SourceArray], keys: Sequence[str] | None) -> Plan:
    """Carry over the actions and observations; what training does not need is named."""
    if ACTIONS not in arrays:
        raise DatasetError(f"{path}: the first demonstration has no {ACTIONS!r}; extract it anew")
    found = {plain_key(name.removeprefix(OBS)): name for name in arrays if name.startswith(OBS)}
    others = {plain_key(name): name for name in arrays if name not in (ACTIONS, *found.values())}
    if not found and keys is None:
        raise DatasetError(
            f"{path} holds no observations, only states of the simulator; extract them with "
            "robomimic's dataset_states_to_obs.py"
        )
    known = {ACTION: ACTIONS, **others, **found}
    chosen = {ACTION: ACTIONS, **(found if keys is None else {})}
    for key in keys or ():
        name = key if key in known else plain_key(key.removeprefix(OBS))
        name = ACTION if name == ACTIONS else name
        if name not in known:
            raise DatasetError(f"{path} has no key {key!r}{nearest(key, known)}")
        chosen[name] = known[name]

    roles = {source: f"key {key!r}" for key, source in chosen.items()}
    left = [name for name in known.values() if name not in roles]
    return Plan(
        keys=chosen,
        lengths=frozenset(),
        notes=[f"not carried over: {name} {list(arrays[name].shape[1:])} a step" for name in left],
        found=tuple(
            Found(f"data/demo_*/{a.name}", a.shape, str(a.dtype), roles.get(a.name, NOT_CARRIED))
            for a in arrays.values()
        ),
    )


def _read_env_args(path: Path, file: Any, plan: Plan) -> None:
    """Keep `env_args`, and state what they say of the rate and the action."""
    kept = attributes(path, file["data"])
    env_args = json_object(kept.get("env_args"))
    if not env_args:
        plan.notes.append("data.attrs holds no env_args, so nothing tells the action's meaning")
        plan.kept.update(kept)
        return
    plan.kept.update({**kept, "env_args": env_args})
    kwargs = env_args.get("env_kwargs")
    kwargs = kwargs if isinstance(kwargs, Mapping) else {}
    rate = kwargs.get("control_freq")
    if isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < 1e9:
        plan.stated["control_rate_hz"] = float(rate)
    if isinstance(env_args.get("env_name"), str):
        plan.notes.append(
            f"recorded in {env_args['env_name']!r}, kept in source.attributes.env_args; name the "
            "environment to evaluate in with env_id=..."
        )
    action, notes = action_of(kwargs)
    plan.stated["action"] = action
    plan.notes += notes


def _with_masks(path: Path, file: Any, demos: Sequence[str], data: ForeignData) -> ForeignData:
    masks = child(path, file, "mask")
    if masks is None:
        return data
    subsets: dict[str, NDArray[np.bool_]] = {}
    for name, array in arrays_below(path, masks).items():
        if array.dtype.kind == "S":
            members = {each.decode("utf-8", "replace") for each in array.whole().reshape(-1)}
            subsets[name] = np.array([demo in members for demo in demos])
    parts = ", ".join(f"{name} ({int(mask.sum())})" for name, mask in subsets.items())
    notes = (*data.notes, *([f"named parts, chosen with subset=NAME: {parts}"] if parts else []))
    return replace(data, subsets=subsets, notes=notes)

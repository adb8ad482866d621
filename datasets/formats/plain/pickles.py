"""Pickled demonstrations: a list of episodes, flat arrays, or a folder of a pickle an episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError
from ..importer import ForeignData, Keys
from ..rules.arrays import SourceArray
from ..rules.episodes import OpenEpisode, from_episodes
from ..rules.flat import open_flat
from ..rules.guessing import check_map, plan_episode
from ..rules.names import ACTION_NAMES
from .folders import files_of, is_folder_of
from .nested import arrays_of
from .unpickling import load_plain

ENDINGS = (".pkl", ".pickle", ".p")


class PickleImporter:
    """Reads plain data out of pickles; nothing in them is run."""

    name = "pickle"
    takes = "a .pkl with a list of episodes or flat arrays, or a folder of a .pkl an episode"
    is_fallback = True
    maps_keys = True

    def recognises(self, path: Path) -> bool:
        """Say whether it is called so, or is a folder of such files."""
        named = path.suffix.lower() in ENDINGS and path.is_file()
        return named or is_folder_of(path, *ENDINGS)

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a source; see `Importer.open`. Nothing can be missing from one."""
        if path.is_dir():
            yield _folder(path, keys)
            return
        if not path.is_file():
            raise DatasetError(f"no file at {path}; give a .pkl")
        content = load_plain(path)
        episodes = _episodes(content)
        if episodes is None:
            yield open_flat(path, arrays_of(str(path), content), keys)
            return

        def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
            return nullcontext(arrays_of(f"{path}: episode {index}", episodes[index]))

        yield _apart(path, [str(index) for index in range(len(episodes))], episode, keys)


IMPORTER = PickleImporter()


def _folder(path: Path, keys: Keys) -> ForeignData:
    files = files_of(path, *ENDINGS)

    def episode(index: int) -> nullcontext[Mapping[str, SourceArray]]:
        file = files[index]
        return nullcontext(arrays_of(str(file), load_plain(file)))

    return _apart(path, [file.name for file in files], episode, keys)


def _apart(path: Path, names: list[str], episode: OpenEpisode, keys: Keys) -> ForeignData:
    check_map(path, keys)
    with episode(0) as first:
        plan = plan_episode(path, first, keys)
    return from_episodes(path, names, episode, plan)


def _episodes(content: Any) -> list[Any] | None:
    """Return the episodes of a list or of a dict of lists; None for flat arrays."""
    if isinstance(content, list | tuple) and content:
        return list(content)
    if not isinstance(content, Mapping):
        return None
    values = list(content.values())
    if (
        values
        and all(isinstance(each, Mapping | list) for each in values)
        and _are_episodes(values)
    ):
        return values
    lists = {name: value for name, value in content.items() if isinstance(value, list | tuple)}
    action = next((v for n, v in lists.items() if str(n).lower() in ACTION_NAMES), None)
    if not action or np.ndim(action[0]) != 2:
        return None
    # A dict of lists: one item of every list of that length is an episode.
    columns = {name: value for name, value in lists.items() if len(value) == len(action)}
    return [{name: value[i] for name, value in columns.items()} for i in range(len(action))]


def _are_episodes(values: list[Any]) -> bool:
    """Say whether the values of a dict are episodes: each a dict with the actions."""
    return all(
        isinstance(each, Mapping) and any(str(name).lower() in ACTION_NAMES for name in each)
        for each in values
    )

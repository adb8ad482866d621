"""Episodes that lie apart, each with its own arrays [T, ...]: groups, files, items of a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ...keys import ACTION
from ..importer import Block, ForeignData, Found
from .arrays import SourceArray, refuse_objects, refuse_wide_rows
from .roles import differing

#: Arrays of one episode by name, for as long as it is open.
OpenEpisode = Callable[[int], AbstractContextManager[Mapping[str, SourceArray]]]
MOST_EPISODES = 1_000_000


@dataclass
class Plan:
    """Which arrays of an episode become which keys.

    Attributes:
        keys: {our key: the source's name}, the action among them.
        lengths: Which lengths an array may have beside that of the action: {1} lets an array have
            one row more, the observation after the last action, which is left out.
        notes: What deserves a look.
        stated: See `ForeignData`.
        kept: See `ForeignData`.
        found: See `ForeignData`.
        seed: The name of the single value that is an episode's seed.
    """

    keys: dict[str, str]
    lengths: frozenset[int] = frozenset({1})
    notes: list[str] = field(default_factory=list)
    stated: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    found: tuple[Found, ...] = ()
    seed: str | None = None


def from_episodes(
    path: Path, names: Sequence[str], open_episode: OpenEpisode, plan: Plan
) -> ForeignData:
    """Return episodes that lie apart as one source.

    All of them are looked at before anything is copied: every one needs the keys of the plan.

    Args:
        path: The source, for messages.
        names: Of the episodes, in order, for messages.
        open_episode: Opens one by its place in `names`.
        plan: What becomes of their arrays.

    Raises:
        DatasetError: An episode lacks a key, or its shape, type or length differs.
    """
    if not names or len(names) > MOST_EPISODES:
        raise DatasetError(f"{path} holds {len(names)} episodes, none that can be read; look there")
    survey = _Survey(path, plan)
    for index, name in enumerate(names):
        with open_episode(index) as arrays:
            survey.add(name, arrays)

    ends = np.cumsum(survey.lengths, dtype=np.int64)

    def blocks_of(n_rows: int, episodes: NDArray[np.int64]) -> Iterator[Block]:
        return gathered(_pieces(open_episode, survey, plan, episodes, n_rows), n_rows)

    return ForeignData(
        shapes={key: array.shape[1:] or (1,) for key, array in survey.first.items()},
        dtypes={key: array.dtype.newbyteorder("=") for key, array in survey.first.items()},
        episode_ends=ends,
        blocks=lambda n_rows: blocks_of(n_rows, np.arange(len(ends))),
        blocks_of=blocks_of,
        stated=plan.stated,
        kept=plan.kept,
        notes=tuple(plan.notes),
        mapped=differing(survey.first),
        converted=tuple(survey.converted),
        seeds=survey.seeds(),
        found=plan.found,
    )


def _pieces(
    open_episode: OpenEpisode,
    survey: _Survey,
    plan: Plan,
    episodes: Iterable[int],
    n_rows: int,
) -> Iterator[Block]:
    for episode in episodes:
        length = survey.lengths[episode]
        with open_episode(int(episode)) as arrays:
            for start in range(0, length, n_rows):
                stop = min(start + n_rows, length)
                block = {}
                for key, name in plan.keys.items():
                    rows = arrays[name].rows(start, stop)
                    block[key] = rows[:, None] if rows.ndim == 1 else rows
                yield block


def gathered(blocks: Iterable[Block], n_rows: int) -> Iterator[Block]:
    """Join short blocks until at least `n_rows` rows are together."""
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        if sum(len(each[ACTION]) for each in held) >= n_rows:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


class _Survey:
    """What all episodes have in common, found by looking at each of them."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._seeds: list[int] = []
        self.first: dict[str, SourceArray] = {}
        self.lengths: list[int] = []
        self.converted: list[str] = []

    def add(self, name: str, arrays: Mapping[str, SourceArray]) -> None:
        """Look at one more episode."""
        where = f"{self._path}: episode {name}"
        for source in self._plan.keys.values():
            if source not in arrays:
                raise DatasetError(
                    f"{where} has no array {source!r}, which the others have; leave it out with "
                    "keys=[...]"
                )
        chosen = {key: arrays[source] for key, source in self._plan.keys.items()}
        refuse_objects(where, list(chosen.values()))
        self._check_lengths(where, chosen)
        if not self.first:
            refuse_wide_rows(where, list(chosen.values()))
            self._describe(chosen)
            self.first = chosen
        self._check_alike(where, chosen)
        self.lengths.append(chosen[ACTION].shape[0])
        if self._plan.seed is not None and self._plan.seed in arrays:
            self._seeds.append(_seed(arrays[self._plan.seed]))

    def seeds(self) -> NDArray[np.int64] | None:
        """Return the seeds of the episodes where each has one."""
        if len(self._seeds) != len(self.lengths) or min(self._seeds) < 0:
            return None
        return np.array(self._seeds, dtype=np.int64)

    def _check_lengths(self, where: str, chosen: Mapping[str, SourceArray]) -> None:
        action = chosen[ACTION]
        length = action.shape[0] if action.shape else 0
        if not length:
            raise DatasetError(f"{where} has no actions; remove it from the source")
        allowed = {length, *(length + more for more in self._plan.lengths)}
        for array in chosen.values():
            if not array.is_numbers or not array.shape or array.shape[0] not in allowed:
                raise DatasetError(
                    f"{where}: {array.text()} does not fit its {length} actions; leave it out with "
                    "keys=[...]"
                )

    def _check_alike(self, where: str, chosen: Mapping[str, SourceArray]) -> None:
        for key, array in chosen.items():
            first = self.first[key]
            if array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
                raise DatasetError(
                    f"{where}: {array.text()} differs from {first.text()} of the first episode; "
                    "write all alike, or leave it out with keys=[...]"
                )

    def _describe(self, chosen: Mapping[str, SourceArray]) -> None:
        length = chosen[ACTION].shape[0]
        for key, array in chosen.items():
            if len(array.shape) == 1:
                self.converted.append(f"{key}: single numbers, written as vectors of length 1")
            if array.shape[0] > length:
                self.converted.append(
                    f"{key}: one row more than actions; the observation after the last is left out"
                )


def _seed(array: SourceArray) -> int:
    if array.shape not in ((), (1,)) or array.dtype.kind not in "iu":
        return -1
    value = int(array.whole().reshape(-1)[0])
    return value if value < 2**63 else -1


def natural(names: Iterable[str]) -> list[str]:
    """Sort names so that numbers in them count: `demo_2` before `demo_10`."""
    return sorted(names, key=_parts)


def _parts(name: str) -> list[tuple[str, int]]:
    return [(word, int(digits or -1)) for word, digits in re.findall(r"(\D*)(\d{0,18})", name)]

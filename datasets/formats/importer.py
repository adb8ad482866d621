"""What a foreign format must offer; adding one is adding one file here that holds an `IMPORTER`."""

from __future__ import annotations

import importlib
import pkgutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, nearest

AUTO = "auto"

#: Rows of every key, {key: [t, ...]}.
Block = dict[str, NDArray[Any]]
#: What to carry over: every key, a list of them, or {our name: the source's name}, where a table
#: takes several columns for a name.
Keys = Sequence[str] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Found:
    """One array that a source holds, and what becomes of it.

    Attributes:
        name: The source's name for it.
        shape: As stored, [N, ...].
        dtype: As stored.
        role: In a few words: "key 'obs'", "marks the episodes", "not carried over".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str


@dataclass(frozen=True)
class ForeignData:
    """An opened source: what it holds, and how to get it piece by piece.

    Attributes:
        shapes: {key: shape of one step}, `action` among them.
        dtypes: {key: dtype}.
        episode_ends: int64 [n_episodes], the row after each episode's last.
        blocks: `blocks(n_rows)` yields all rows of all keys in order, at most `n_rows` at a time.
        stated: What the format says of itself, named as in `storage.attributes`.
        kept: Whatever else it says (JSON values), to keep with the data.
        notes: One line for each thing that is not carried over, or deserves a look.
        mapped: {our key: the source's name}, for those that have another name there.
        converted: One line for each key whose numbers were changed on the way.
        seeds: int64 [n_episodes], what each episode was reset with; None where nobody said.
        found: What the source holds; empty where the keys tell it all.
        blocks_of: `blocks_of(n_rows, episodes)` yields the rows of some episodes, in order; None
            where a source can only be read from its start.
        subsets: {name: bool [n_episodes]}, named parts of the source, such as a training split.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    episode_ends: NDArray[np.int64]
    blocks: Callable[[int], Iterator[Block]]
    stated: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    mapped: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()
    seeds: NDArray[np.int64] | None = None
    found: tuple[Found, ...] = ()
    blocks_of: Callable[[int, NDArray[np.int64]], Iterator[Block]] | None = None
    subsets: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def n_steps(self) -> int:
        """Steps of all episodes together."""
        return int(self.episode_ends[-1])


class Importer(Protocol):
    """Reads one foreign format."""

    @property
    def name(self) -> str:
        """What `format=` calls it."""
        ...

    @property
    def takes(self) -> str:
        """What it takes, in a few words: "a folder that ..."."""
        ...

    def recognises(self, path: Path) -> bool:
        """Say, from names alone, whether `path` is of this format; never raises."""
        ...

    def open(
        self, path: Path, keys: Sequence[str] | None, *, allow_missing: bool
    ) -> AbstractContextManager[ForeignData]:
        """Open a source in bounded memory, running nothing that lies in it.

        Args:
            path: The source.
            keys: What to carry over, every key if None; the action always.
            allow_missing: Fill what is absent as the format says, rather than refuse.

        Raises:
            DatasetError: It cannot be read, or not be carried over bit for bit.
        """
        ...


@cache
def importers() -> dict[str, Importer]:
    """Return every importer by its name: the `IMPORTER` of each module below this folder."""
    package = __name__.rpartition(".")[0]
    folder = [str(Path(__file__).parent)]
    names = [each.name for each in pkgutil.walk_packages(folder, prefix=f"{package}.")]
    modules = [importlib.import_module(name) for name in names]
    found: list[Importer] = [module.IMPORTER for module in modules if hasattr(module, "IMPORTER")]
    return {importer.name: importer for importer in found}


def find_importer(path: Path, name: str = AUTO) -> Importer:
    """Return the importer of that name, or under "auto" the one that recognises the source.

    Raises:
        DatasetError: There is no such format, no source, or not exactly one format fits.
    """
    known = importers()
    if name != AUTO:
        if name not in known:
            raise DatasetError(f"no format named {name!r}{nearest(str(name), [AUTO, *known])}")
        return known[name]
    if not path.exists():
        raise DatasetError(f"nothing to import at {path}; give the path of a data set")
    if path.suffix == ".zip" and not zipfile.is_zipfile(path):
        raise DatasetError(f"{path} is not a whole .zip; download it again")

    fitting = [importer for importer in known.values() if importer.recognises(path)]
    # Plain arrays are read by general rules, which step back where a format knows better.
    fitting = [each for each in fitting if not is_fallback(each)] or fitting
    if len(fitting) > 1:
        names = " or ".join(f"format={importer.name}" for importer in fitting)
        raise DatasetError(f"{path} could be of several formats; say which with {names}")
    if not fitting:
        taken = "; ".join(f"{importer.name} takes {importer.takes}" for importer in known.values())
        raise DatasetError(f"{path} is of no format that is read here: {taken}")
    return fitting[0]


def is_fallback(importer: Importer) -> bool:
    """Say whether an importer reads arrays of no particular format."""
    return bool(getattr(importer, "is_fallback", False))


def maps_keys(importer: Importer) -> bool:
    """Say whether an importer's `open` takes a map of keys, some of which tell roles."""
    return bool(getattr(importer, "maps_keys", False))

"""D4RL: flat `observations`, `actions`, `terminals` and `timeouts` in one HDF5 file.

Format (Fu et al. 2020): github.com/Farama-Foundation/D4RL/wiki. An episode ends at a terminal or a
timeout; rows after the last one are an episode that was cut short.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..importer import ForeignData, Keys
from ..rules.flat import open_flat
from .reading import arrays_below, has, open_hdf5

ENDINGS = ("terminals", "timeouts")


class D4rlImporter:
    """Reads D4RL's data sets."""

    name = "d4rl"
    takes = "an HDF5 file with flat observations, actions and terminals"
    maps_keys = True

    def recognises(self, path: Path) -> bool:
        """Say whether its arrays are there."""
        return has(path, "observations", "actions", "terminals") and not has(
            path, "observations/qpos"
        )

    @contextmanager
    def open(self, path: Path, keys: Keys, *, allow_missing: bool) -> Iterator[ForeignData]:
        """Open a file; see `Importer.open`. Nothing can be missing from one."""
        with open_hdf5(path) as file:
            arrays = arrays_below(path, file)
            # The metadata hold the weights of whoever collected the data.
            own = {name: each for name, each in arrays.items() if not name.startswith("metadata/")}
            own = {name: each for name, each in own.items() if not name.startswith("infos/")} or own
            data = open_flat(path, own, keys)
            left = sorted({name.partition("/")[0] for name in arrays if name not in own})
            notes = [f"not carried over: everything below {name}/" for name in left]
            yield replace(data, notes=(*data.notes, *notes))


IMPORTER = D4rlImporter()

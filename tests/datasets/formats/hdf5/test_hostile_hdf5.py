"""HDF5 files that mean harm are refused in one line, in little memory, and nothing is written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data

h5py = pytest.importorskip("h5py")

MEMORY = 32 << 20

Edit = Callable[[Any, Path], None]


def _external_link(file: Any, folder: Path) -> None:
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["obs"] = np.ones((20, 3))
    file["obs"] = h5py.ExternalLink("secret.h5", "/obs")


def _soft_link(file: Any, folder: Path) -> None:
    file["obs"] = h5py.SoftLink("/action")


def _external_storage(file: Any, folder: Path) -> None:
    (folder / "secret.bin").write_bytes(bytes(20 * 3 * 8))
    place = (str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)
    file.create_dataset("obs", shape=(20, 3), dtype="f8", external=[place])


def _virtual(file: Any, folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(20, 3), dtype="f8")
    layout[:] = h5py.VirtualSource("secret.h5", "obs", shape=(20, 3))
    file.create_virtual_dataset("obs", layout)


def _never_written(file: Any, folder: Path) -> None:
    file.create_dataset("obs", shape=(20, 10**9), dtype="f8", chunks=(1, 1000))


def _huge_row(file: Any, folder: Path) -> None:
    shape = (20, 1 << 25)
    file.create_dataset("obs", shape=shape, dtype="f8", chunks=(1, 1 << 20), compression="gzip")
    for row in range(20):
        file["obs"][row, : 1 << 20] = 0.0


def _chunk_bomb(file: Any, folder: Path) -> None:
    chunks = (20, 1 << 21)
    file.create_dataset("obs", shape=(20, 1 << 21), dtype="f8", chunks=chunks, compression="gzip")
    file["obs"][0, :10] = 0.0


def _references(file: Any, folder: Path) -> None:
    file.create_dataset("obs", data=[file["action"].ref] * 20, dtype=h5py.ref_dtype)


def _strings(file: Any, folder: Path) -> None:
    file.create_dataset("obs", data=["a"] * 20, dtype=h5py.string_dtype())


def _compound(file: Any, folder: Path) -> None:
    file["obs"] = np.zeros(20, dtype=[("a", "f8"), ("b", "i4")])


def _nested(file: Any, folder: Path) -> None:
    group = file
    for _ in range(20):
        group = group.create_group("g")
    group["obs"] = np.ones((20, 3))


def _circle(file: Any, folder: Path) -> None:
    group = file.create_group("g")
    group["again"] = file["/"]


def _not_a_number(file: Any, folder: Path) -> None:
    file["obs"] = np.full((20, 3), np.nan)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (_external_link, "is a link to secret.h5:/obs"),
        (_soft_link, "is a link to this file:/action"),
        (_external_storage, "is kept in other files"),
        (_virtual, "is kept in other files"),
        (_never_written, "more than the 0 stored ones can hold"),
        (_huge_row, "stored ones can hold|declares"),
        (_chunk_bomb, "declares chunks of 320 MiB"),
        (_references, "Python objects"),
        (_strings, "Python objects"),
        (_compound, "no array looks like an observation"),
        (_nested, "nested too deeply"),
        (_circle, "nested too deeply"),
        (_not_a_number, "'obs' holds nan at step 0"),
    ],
)
def test_a_file_that_means_harm_is_refused(tmp_path: Path, edit: Edit, fault: str) -> None:
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "demos.hdf5"
    with h5py.File(source, "w") as file:
        file["action"] = np.ones((20, 2))
        file["episode_ends"] = np.array([8, 20])
        edit(file, tmp_path / "in")
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=fault) as caught:
            import_data(source, tmp_path / "out" / "ours")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < MEMORY
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_a_file_that_only_begins_as_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "demos.hdf5").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        import_data(tmp_path / "demos.hdf5", tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()

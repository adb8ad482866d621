"""Spoiled files of every format: an import succeeds or says what is wrong in one line."""

from __future__ import annotations

import resource
import shutil
import tracemalloc
from contextlib import suppress
from pathlib import Path

import foreign
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import explain, find_importer, import_data

FAST = 150
SLOW = 5000
#: Above what the imported data themselves take.
MEMORY = 64 << 20

pytest.importorskip("h5py")


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, cut off, overwritten or moved."""
    spoiled = bytearray(content)
    place = int(generator.integers(len(spoiled)))
    kind = generator.integers(5)
    if kind == 0:
        return bytes(spoiled[:place])
    if kind == 1:
        size = int(generator.choice([1, 2, 4, 8]))
        spoiled[place : place + size] = bytes([generator.choice([0, 0x7F, 0xFF])]) * size
    elif kind == 2:
        size = int(generator.integers(1, 200))
        other = int(generator.integers(len(spoiled)))
        spoiled[place : place + size] = spoiled[other : other + size]
    elif kind == 3:
        # The beginnings of files are where their structure lies.
        place = int(generator.integers(min(len(spoiled), 2000)))
        spoiled[place] = int(generator.integers(256))
    else:
        for _ in range(int(generator.choice([1, 2, 5, 20]))):
            spoiled[int(generator.integers(len(spoiled)))] = int(generator.integers(256))
    return bytes(spoiled)


def read_all(source: Path, name: str) -> None:
    """Read a source from its start to its end, without writing anything."""
    with find_importer(source, name).open(source, None, allow_missing=False) as data:
        for block in data.blocks(16):
            assert set(block) == set(data.shapes)


def hold_to_mutations(tmp_path: Path, name: str, count: int, seed: int) -> None:
    """Read `count` spoiled copies of a source, and import each twentieth."""
    source = foreign.WRITERS[name](tmp_path, foreign.make_episodes())
    files = sorted(file for file in source.rglob("*") if file.is_file()) or [source]
    generator = np.random.default_rng(seed)
    out = tmp_path / "out"
    refusals: list[str] = []
    left: list[Path] = []
    for number in range(count):
        file = files[int(generator.integers(len(files)))]
        sound = file.read_bytes()
        file.write_bytes(mutated(sound, generator))
        try:
            if number % 20:
                read_all(source, name)
            else:
                import_data(source, out / "ours", format=name)
        except DatasetError as error:
            refusals.append(str(error))
            left += list(out.glob("*"))
        finally:
            file.write_bytes(sound)
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
    assert refusals
    assert not left
    assert not [line for line in refusals if "\n" in line]


@pytest.mark.parametrize("name", foreign.WRITERS)
def test_a_spoiled_source_is_imported_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    try:
        hold_to_mutations(tmp_path, name, FAST, seed=1)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", foreign.WRITERS)
def test_thousands_of_spoiled_sources_are_imported_or_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hold_to_mutations(tmp_path, name, SLOW, seed=2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


@pytest.mark.parametrize("name", foreign.WRITERS)
def test_explaining_a_spoiled_source_raises_nothing_else(tmp_path: Path, name: str) -> None:
    source = foreign.WRITERS[name](tmp_path, foreign.make_episodes())
    files = sorted(file for file in source.rglob("*") if file.is_file()) or [source]
    generator = np.random.default_rng(3)
    for _ in range(20):
        file = files[int(generator.integers(len(files)))]
        sound = file.read_bytes()
        file.write_bytes(mutated(sound, generator))
        with suppress(DatasetError):
            assert explain(source)
        file.write_bytes(sound)

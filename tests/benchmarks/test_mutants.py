"""The table of mutants fits the code that it mutates."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    """Return the rows of the table."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        table: list[Any] = importlib.import_module("mutants.table").ROWS
    finally:
        sys.path.pop(0)
    return table


def test_the_old_text_of_every_mutant_stands_exactly_once_in_its_file(rows: list[Any]) -> None:
    sources = {row.file: (ROOT / row.file).read_text() for row in rows}
    wrong = [
        (row.file, row.what, row.old, sources[row.file].count(row.old))
        for row in rows
        if sources[row.file].count(row.old) != 1
    ]
    assert wrong == []


def test_every_mutant_changes_its_file_into_another_program(rows: list[Any]) -> None:
    for row in rows:
        assert row.old != row.new
        mutant = (ROOT / row.file).read_text().replace(row.old, row.new)
        compile(mutant, row.file, "exec")


def test_no_mutant_stands_twice_in_the_table(rows: list[Any]) -> None:
    assert len({row.key for row in rows}) == len(rows)


def test_the_tests_of_every_mutant_exist(rows: list[Any]) -> None:
    for path, _, name in {test.partition("::") for row in rows for test in row.tests}:
        assert (ROOT / path).exists()
        assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()


def test_there_are_at_least_a_hundred_and_twenty_mutants_in_three_rooms(rows: list[Any]) -> None:
    rooms = Counter(row.file.partition("/")[0] for row in rows)
    assert set(rooms) == {"policy", "envs", "datasets", "scripts"}
    assert rooms.total() >= 120
    assert min(rooms[room] for room in ("policy", "envs", "datasets")) >= 30

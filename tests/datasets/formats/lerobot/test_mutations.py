"""Damaged files are read or refused in one line: no other error, and nothing half-written."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from lerobot_mutations import mutate, read_all, survives

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data

WRITTEN = ["v2.1_image", "v2.1_video", "v3.0_image", "v3.0_video"]


def _damage(folder: Path, seeds: range) -> int:
    """Damage a data set once a seed; return how often it was refused."""
    refused = 0
    for seed in seeds:
        mend = mutate(folder, random.Random(seed))
        refused += not survives(folder)
        mend()
    assert read_all(folder) == 14
    return refused


@pytest.mark.parametrize("name", WRITTEN)
def test_damage_is_read_or_refused_in_one_line(unzip: Callable[[str], Path], name: str) -> None:
    assert _damage(unzip(name), range(38)) > 10


def test_a_footer_that_contradicts_itself_is_refused(unzip: Callable[[str], Path]) -> None:
    source = unzip("v3.0_video")
    mutate(source, random.Random(1113))
    assert not survives(source)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_much_damage_is_read_or_refused_in_one_line(
    unzip: Callable[[str], Path], name: str
) -> None:
    assert _damage(unzip(name), range(1000, 2500)) > 500


@pytest.mark.parametrize("name", ["v2.1_video", "v3.0_image"])
def test_a_refused_import_leaves_nothing(
    tmp_path: Path, unzip: Callable[[str], Path], name: str
) -> None:
    source = unzip(name)
    before = sorted(path.name for path in tmp_path.iterdir())
    for seed in range(12):
        mend = mutate(source, random.Random(seed))
        if not survives(source):
            with pytest.raises(DatasetError):
                import_data(source, tmp_path / "ours.zarr", format="lerobot")
        mend()
    assert sorted(path.name for path in tmp_path.iterdir()) == before

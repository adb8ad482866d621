"""A folder takes its name whole, and its parts are on the disk before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinoise.policy.checkpoints.atomic import atomic_folder


def test_parts_are_on_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "checkpoint"
    opened: dict[int, str] = {}
    early: list[str] = []
    open_file, fsync = os.open, os.fsync

    def watched_open(path: os.PathLike[str], *args: int) -> int:
        descriptor = open_file(path, *args)
        opened[descriptor] = Path(path).name
        return descriptor

    def watched_fsync(descriptor: int) -> None:
        if not target.exists():
            early.append(opened[descriptor])
        fsync(descriptor)

    monkeypatch.setattr(os, "open", watched_open)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    with atomic_folder(target) as folder:
        (folder / "a").write_text("a")
        (folder / "b").write_text("b")
    assert {"a", "b", folder.name} <= set(early)


def test_while_it_is_written_the_old_folder_stands_under_its_name(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    for content in ("old", "new"):
        with atomic_folder(target) as folder:
            (folder / "a").write_text(content)
            if content == "new":
                assert (target / "a").read_text() == "old"
    assert (target / "a").read_text() == "new"
    assert [child.name for child in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_that_fails_leaves_the_old_one(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr("sys.platform", "elsewhere")
    target = tmp_path / "checkpoint"
    for _ in range(2):
        with atomic_folder(target) as folder:
            (folder / "a").write_text("old")

    def write_half() -> None:
        with atomic_folder(target) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert (target / "a").read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["checkpoint"]

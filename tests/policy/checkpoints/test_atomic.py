"""A folder takes its name whole, and its parts are on the disk before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from kinoise.policy.checkpoints import atomic, read_meta, save_checkpoint
from kinoise.policy.checkpoints.atomic import atomic_folder
from kinoise.policy.checkpoints.folder import link, record_metrics


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


def test_nothing_is_removed_before_the_new_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill right after any removal finds a whole folder under the name."""
    target = tmp_path / "checkpoint"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    found: list[bool] = []
    remove = shutil.rmtree

    def watched(path: Path, **settings: Any) -> None:
        remove(path, **settings)
        found.append((target / "a").exists())

    monkeypatch.setattr(shutil, "rmtree", watched)
    with atomic_folder(target) as folder:
        (folder / "a").write_text("new")
    assert found
    assert all(found)


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


def test_the_old_folder_is_there_until_the_two_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "checkpoint"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    seen: list[str] = []
    exchange = atomic._exchange

    def watched(one: Path, other: Path) -> bool:
        seen.append((other / "a").read_text())
        return exchange(one, other)

    monkeypatch.setattr(atomic, "_exchange", watched)
    with atomic_folder(target) as folder:
        (folder / "a").write_text("new")
    assert seen == ["old"]


def _checkpoint(folder: Path, step: int = 3) -> Path:
    policy = tiny.policy()
    return save_checkpoint(
        folder,
        config={"policy": tiny.node()},
        weights=policy.state_dict(),
        table=policy.table,
        step=step,
        metrics={"success": 0.5},
    )


def test_a_kill_while_a_checkpoint_is_replaced_leaves_it_to_be_found(tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "only")
    path.replace(atomic.aside(path))
    assert read_meta(path)["step"] == 3


def test_metrics_join_those_there_and_are_written_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _checkpoint(tmp_path / "only")
    record_metrics(path, {"score": 0.7})
    assert read_meta(path)["metrics"] == {"success": 0.5, "score": 0.7}

    _refuse_renaming(monkeypatch)
    with pytest.raises(OSError, match="refused"):
        record_metrics(path, {"score": 0.9})
    assert read_meta(path)["metrics"] == {"success": 0.5, "score": 0.7}


def test_a_link_names_a_checkpoint_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "step_1", tmp_path / "step_2"
    for folder in (old, new):
        folder.mkdir()
    link(old, "last")
    assert (tmp_path / "last").resolve() == old.resolve()
    _refuse_renaming(monkeypatch)
    with pytest.raises(OSError, match="refused"):
        link(new, "last")
    assert (tmp_path / "last").resolve() == old.resolve()


def _refuse_renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError("refused")

    monkeypatch.setattr(Path, "replace", refused)

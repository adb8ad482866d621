"""Places to write to are tried first; what stands in a run's folder is lost only to what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.files import set_aside
from kinoise.scripts.command.places import check_file, check_folder


def test_a_folder_to_be_made_is_tried_and_not_made(tmp_path: Path) -> None:
    check_folder("out", tmp_path / "a" / "b")
    check_file("plot", tmp_path / "a" / "b.png")
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for bad in ("file", "file/below", "link", "x" * 300):
        with pytest.raises(UsageError, match=r"^out: "):
            check_folder("out", tmp_path / bad)
    with pytest.raises(UsageError, match="is a folder"):
        check_file("plot", tmp_path)


def _old(folder: Path) -> None:
    (folder / "checkpoints" / "last").mkdir(parents=True)
    (folder / "checkpoints" / "last" / "weights").write_text("old")
    (folder / "metrics.jsonl").write_text("old")
    (folder / "notes.txt").write_text("mine")


NAMES = ("checkpoints", "metrics.jsonl", "tensorboard")


def _die(folder: Path) -> None:
    with set_aside(folder, NAMES, replaced_by="checkpoints/last"):
        assert not (folder / "checkpoints").exists()
        (folder / "checkpoints").mkdir()
        (folder / "metrics.jsonl").write_text("new")
        raise RuntimeError("the training died")


def test_what_was_set_aside_comes_back_when_nothing_replaced_it(tmp_path: Path) -> None:
    _old(tmp_path)
    with pytest.raises(RuntimeError, match="died"):
        _die(tmp_path)
    assert (tmp_path / "checkpoints" / "last" / "weights").read_text() == "old"
    assert (tmp_path / "metrics.jsonl").read_text() == "old"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / ".replaced").exists()


def test_what_was_set_aside_goes_when_it_was_replaced(tmp_path: Path) -> None:
    _old(tmp_path)
    with set_aside(tmp_path, NAMES, replaced_by="checkpoints/last"):
        (tmp_path / "checkpoints" / "last").mkdir(parents=True)
    assert list((tmp_path / "checkpoints" / "last").iterdir()) == []
    assert not (tmp_path / ".replaced").exists()


def test_after_a_kill_the_next_one_puts_back_what_was_set_aside(tmp_path: Path) -> None:
    _old(tmp_path)
    killed = set_aside(tmp_path, NAMES, replaced_by="checkpoints/last")
    killed.__enter__()
    with set_aside(tmp_path, NAMES, replaced_by="checkpoints/last", keep=True):
        assert (tmp_path / "checkpoints" / "last" / "weights").read_text() == "old"

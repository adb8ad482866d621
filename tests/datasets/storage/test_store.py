"""Durable writes: on the disk before they have their name, and nothing left of a failed one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinoise.datasets.storage.store import write_durably


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "chunk"
    synced: list[bytes] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        assert not target.exists()
        [temporary] = tmp_path.iterdir()
        synced.append(temporary.read_bytes())
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_durably(target, b"content")
    assert synced == [b"content"]
    assert target.read_bytes() == b"content"


def test_the_old_content_stands_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "chunk"
    write_durably(target, b"old")

    def full(descriptor: int) -> None:
        assert target.read_bytes() == b"old"
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_durably(target, b"new")
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["chunk"]

"""Data sets that mean harm are refused in one line: no code, no file outside, little memory."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data
from kinoise.datasets.formats.lerobot import guard
from kinoise.datasets.formats.lerobot.features import parse_features

DATA = "data/chunk-000/file-000.parquet"
MOVIE = "videos/observation.images.top/chunk-000/file-000.mp4"

Edit = Callable[[Path], None]


def _info(**values: Any) -> Edit:
    def edit(source: Path) -> None:
        path = source / "meta" / "info.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


def _feature(name: str, **values: Any) -> Edit:
    def edit(source: Path) -> None:
        features = json.loads((source / "meta" / "info.json").read_text())["features"]
        features[name] = {**features.get(name, {}), **values}
        _info(features=features)(source)

    return edit


def _column(name: str, change: Callable[[list[Any]], list[Any]]) -> Edit:
    def edit(source: Path) -> None:
        table = pq.read_table(source / DATA)
        place = table.schema.get_field_index(name)
        values = pa.array(change(table.column(name).to_pylist()), table.schema.field(place).type)
        pq.write_table(table.set_column(place, name, values), source / DATA)

    return edit


def _nested(source: Path) -> None:
    (source / "meta" / "info.json").write_text("[" * 200_000)


def _link_out(source: Path) -> None:
    outside = source.parent / "outside.parquet"
    (source / DATA).rename(outside)
    (source / DATA).symlink_to(outside)


def _pipe(source: Path) -> None:
    (source / DATA).unlink()
    os.mkfifo(source / DATA)


def _play_list(source: Path) -> None:
    (source / MOVIE).write_text("ffconcat version 1.0\nfile '/etc/hostname'\n")


def _bomb(_: list[Any]) -> list[Any]:
    """Return pictures whose header asks for 240 MB each."""
    header = (9000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    png = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b""))):
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        png += len(content).to_bytes(4, "big") + kind + content + checksum
    return [{"bytes": png, "path": None}] * 14


@pytest.mark.parametrize(
    ("name", "edit", "says"),
    [
        ("v3.0_image", _info(data_path="../outside/{file_index}.parquet"), "leads out"),
        ("v3.0_image", _info(data_path="/etc/{file_index}.parquet"), "leads out"),
        ("v3.0_image", _info(data_path="{file_index.__class__}"), "not understood"),
        ("v3.0_image", _info(data_path="{file_index:999999999d}"), "not understood"),
        ("v3.0_video", _info(video_path="../{video_key}"), "leads out"),
        ("v3.0_image", _info(fps=0), "fps is 0"),
        ("v3.0_image", _info(total_frames=15), "copy or download"),
        ("v3.0_image", _info(total_episodes=1 << 62), "whole number"),
        ("v3.0_image", _info(codebase_version="v1.6"), "v1.6"),
        ("v3.0_image", _feature("action", shape=[1 << 28, 9]), "takes more than"),
        ("v3.0_image", _feature("action", shape=[3]), "3 a row are declared"),
        ("v3.0_image", _feature("action", dtype="object"), "has dtype"),
        ("v3.0_image", _feature("../x", dtype="float32", shape=[1]), "cannot name a folder"),
        ("v3.0_image", _feature("observation.images.top", shape=[9, 10, 3]), "8x10"),
        ("v3.0_video", _feature("observation.images.top", shape=[64, 32, 3]), "64x64"),
        ("v3.0_image", _column("episode_index", lambda rows: rows[::-1]), "put the rows in order"),
        ("v3.0_image", _column("action", lambda rows: [None, *rows[1:]]), "cannot be|a row|lacks"),
        ("v3.0_image", _column("observation.images.top", _bomb), "9000x9000"),
        ("v3.0_video", _column("timestamp", lambda rows: [t + 9 for t in rows]), "no frame"),
        ("v3.0_video", _play_list, "cannot be read"),
        ("v3.0_image", _nested, "cannot be read"),
        ("v3.0_image", _link_out, "link out"),
        ("v3.0_image", _pipe, "no plain file"),
    ],
)
def test_harm_is_refused_in_one_line(
    tmp_path: Path, unzip: Callable[[str], Path], name: str, edit: Edit, says: str
) -> None:
    source = unzip(name)
    edit(source)
    with pytest.raises(DatasetError, match=says) as caught:
        import_data(source, tmp_path / "ours.zarr")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours.zarr").exists()


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(guard.importlib, "import_module", absent)
    with pytest.raises(DatasetError, match=r"'pyarrow'; run pip install 'kinoise\[data\]'"):
        guard.needed("pyarrow.parquet")


def test_names_that_coincide_keep_their_long_form() -> None:
    number = {"dtype": "float32", "shape": [2]}
    names = ["action", "observation.state", "next.state", "observation.environment_state"]
    features = parse_features(Path("info.json"), dict.fromkeys(names, number))
    assert {key: each.name for key, each in features.items()} == {
        "action": "action",
        "observation_state": "observation.state",
        "next_state": "next.state",
        "environment_state": "observation.environment_state",
    }

"""A Diffusion Policy replay buffer comes over whole, or is refused in one line."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import kinoise.datasets.storage.store as store
from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import copying, import_data
from kinoise.datasets.storage import ReplayBuffer

Edit = Callable[[zarr.Group], None]
ENDS = [40, 41, 120]


def write_foreign(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write a zarr 2 replay buffer with awkward dtypes, chunks and values; return its arrays."""
    generator = np.random.default_rng(0)
    arrays = {
        "action": generator.normal(size=(120, 2)).astype(np.float32),
        "state": generator.normal(size=(120, 3)).astype(">f8"),
        "img": generator.integers(0, 256, (120, 6, 6, 3), dtype=np.uint8),
        "flag": generator.integers(0, 2, 120).astype(bool),
        "count": generator.integers(-5, 5, (120, 1), dtype=np.int16),
        "zero": np.full((120, 2), -0.0, dtype=np.float32),
    }
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs["recorded"] = "by hand"
    data = root.create_group("data")
    for key, values in arrays.items():
        chunks = (17, *values.shape[1:])
        # As zarr 2 itself does; zarr 3 leaves chunks of nothing but the fill value out.
        data.create_array(key, data=values, chunks=chunks, config={"write_empty_chunks": True})
    root.create_group("meta").create_array("episode_ends", data=np.array(ENDS))
    return arrays


def zip_up(folder: Path, path: Path, prefix: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())


@pytest.mark.parametrize("shape", ["directory", "zip", "zip with a folder"])
def test_every_key_comes_over_bit_for_bit_with_its_dtype(tmp_path: Path, shape: str) -> None:
    arrays = write_foreign(tmp_path / "foreign.zarr")
    source = tmp_path / "foreign.zarr"
    if shape != "directory":
        source = tmp_path / "foreign.zip"
        zip_up(tmp_path / "foreign.zarr", source, "" if shape == "zip" else "inner.zarr/")
    progress: list[tuple[int, int]] = []
    report = import_data(
        source, tmp_path / "ours", progress=lambda done, whole: progress.append((done, whole))
    )
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert (report.n_episodes, report.n_steps) == (3, 120)
    assert buffer.episode_ends.tolist() == ENDS
    assert buffer.keys == sorted(arrays) == list(report.keys)
    for key, values in arrays.items():
        native = values.astype(values.dtype.newbyteorder("="))
        assert buffer.read(key).dtype == native.dtype
        assert buffer.read(key).tobytes() == native.tobytes()
    assert buffer.attrs["source"]["attributes"] == {"root": {"recorded": "by hand"}}
    assert progress[-1][0] == progress[-1][1]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


def test_what_the_format_lacks_is_taken_from_the_caller_or_noted(tmp_path: Path) -> None:
    write_foreign(tmp_path / "f.zarr")
    silent = import_data(tmp_path / "f.zarr", tmp_path / "a")
    assert any("control rate" in note and "action limits" in note for note in silent.notes)
    told = import_data(
        tmp_path / "f.zarr",
        tmp_path / "b",
        control_rate_hz=10,
        action_meaning="absolute",
        action_low=[-1, -1],
        action_high=[1, 1],
        env_id="gym_pusht/PushT-v0",
        keys=["state"],
    )
    assert any("lie outside the given limits" in note for note in told.notes)
    assert any("as asked: key 'img'" in note for note in told.notes)
    buffer = ReplayBuffer.open(tmp_path / "b")
    assert buffer.keys == ["action", "state"]
    assert buffer.attrs["action"]["high"] == [1, 1]


def _object_key(root: zarr.Group) -> None:
    folder = Path(str(root.store_path.store.root)) / "data" / "text"
    folder.mkdir()
    description = {
        "zarr_format": 2,
        "shape": [120],
        "chunks": [120],
        "dtype": "|O",
        "compressor": None,
        "filters": [{"id": "pickle", "protocol": 5}],
        "fill_value": None,
        "order": "C",
    }
    (folder / ".zarray").write_text(json.dumps(description))
    (folder / "0").write_bytes(pickle.dumps([print]))


def _strange_codec(root: zarr.Group) -> None:
    file = Path(str(root.store_path.store.root)) / "data" / "img" / ".zarray"
    description = json.loads(file.read_text())
    description["compressor"] = {"id": "imagecodecs_jpeg2k", "level": 50}
    file.write_text(json.dumps(description))


def _nan_action(root: zarr.Group) -> None:
    root["data/action"][77, 1] = np.nan


def _short_key(root: zarr.Group) -> None:
    root["data/state"].resize((100, 3))


def _ends_go_back(root: zarr.Group) -> None:
    root["meta/episode_ends"][1] = 200


def _no_action(root: zarr.Group) -> None:
    del root["data/action"]


def _no_ends(root: zarr.Group) -> None:
    del root["meta/episode_ends"]


def _spoiled_chunk(root: zarr.Group) -> None:
    (Path(str(root.store_path.store.root)) / "data" / "img" / "2.0.0.0").write_bytes(b"spoiled")


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (
            _object_key,
            "key 'text' holds '|O', not numbers of up to 8 bytes, and loading objects",
        ),
        (_strange_codec, "key 'img' is packed with 'imagecodecs_jpeg2k'"),
        (_nan_action, "key 'action' holds nan at step 77"),
        (_short_key, "key 'state' has 100 steps, the episodes end at 120"),
        (_ends_go_back, "does not grow"),
        (_no_action, "has no key 'action'"),
        (_no_ends, "is of no format that is read here: diffusion_policy takes a zarr 2 folder"),
        (_spoiled_chunk, "key 'img' cannot be decoded"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, edit: Edit, fault: str
) -> None:
    write_foreign(tmp_path / "f.zarr")
    edit(zarr.open_group(str(tmp_path / "f.zarr"), mode="r+", zarr_format=2))
    with pytest.raises(DatasetError) as caught:
        import_data(tmp_path / "f.zarr", tmp_path / "ours")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["f.zarr"]


def test_rows_beyond_the_last_episode_are_noted(tmp_path: Path) -> None:
    write_foreign(tmp_path / "f.zarr")
    root = zarr.open_group(str(tmp_path / "f.zarr"), mode="r+", zarr_format=2)
    root["data/count"].resize((130, 1))
    notes = import_data(tmp_path / "f.zarr", tmp_path / "ours").notes
    assert any("10 steps of 'count' after the last episode" in note for note in notes)


def test_a_missing_chunk_is_refused_by_name_and_filled_only_when_allowed(tmp_path: Path) -> None:
    arrays = write_foreign(tmp_path / "f.zarr")
    (tmp_path / "f.zarr" / "data" / "img" / "3.0.0.0").unlink()
    with pytest.raises(DatasetError, match=r"'img': chunk file data/img/3\.0\.0\.0 is missing"):
        import_data(tmp_path / "f.zarr", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()

    notes = import_data(tmp_path / "f.zarr", tmp_path / "ours", allow_missing=True).notes
    assert any("'img': 1 of 8 chunk files are absent and read as 0" in note for note in notes)
    filled = arrays["img"].copy()
    filled[51:68] = 0
    assert np.array_equal(ReplayBuffer.open(tmp_path / "ours").read("img"), filled)


@pytest.mark.parametrize(
    "layout",
    [
        {"compressors": None},
        {"order": "F"},
        {"chunks": (17, 4, 6, 2)},
        {"chunks": (50, 7, 9, 5)},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"compressors": numcodecs.GZip()},
        {"compressors": numcodecs.Zlib()},
        {"compressors": numcodecs.BZ2()},
        {"compressors": numcodecs.LZMA()},
        {"compressors": numcodecs.LZ4()},
        {"compressors": numcodecs.Zstd(), "filters": [numcodecs.Shuffle(4)]},
        {"compressors": numcodecs.Blosc(), "filters": [numcodecs.Delta("<i4"), numcodecs.CRC32()]},
    ],
    ids=str,
)
def test_every_way_of_packing_comes_over_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any]
) -> None:
    write_foreign(tmp_path / "f.zarr")
    values = np.random.default_rng(0).integers(0, 256, (120, 6, 6, 3)).astype(np.int32)
    layout = {"chunks": (17, 6, 6, 3), **layout}
    root = zarr.open_group(str(tmp_path / "f.zarr"), mode="r+", zarr_format=2)
    root["data"].create_array("img", data=values, overwrite=True, **layout)
    monkeypatch.setattr(copying, "BLOCK_BYTES", 9000)  # blocks that end inside a chunk
    import_data(tmp_path / "f.zarr", tmp_path / "ours")
    assert np.array_equal(ReplayBuffer.open(tmp_path / "ours").read("img"), values)


@pytest.mark.parametrize("name", ["nothing.zarr", "letter.txt", "."])
def test_a_source_that_is_none_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError) as caught:
        import_data(tmp_path / name, tmp_path / "ours")
    assert "\n" not in str(caught.value)


def test_an_existing_data_set_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write_foreign(tmp_path / "f.zarr")
    import_data(tmp_path / "f.zarr", tmp_path / "ours", keys=["state"])
    with pytest.raises(DatasetError, match="overwrite=true"):
        import_data(tmp_path / "f.zarr", tmp_path / "ours")
    with pytest.raises(DatasetError, match="one per dimension"):
        import_data(tmp_path / "f.zarr", tmp_path / "ours", overwrite=True, action_low=[0])
    assert ReplayBuffer.open(tmp_path / "ours").keys == ["action", "state"]
    import_data(tmp_path / "f.zarr", tmp_path / "ours", overwrite=True)
    assert "img" in ReplayBuffer.open(tmp_path / "ours")


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Any) -> None:
        if "c." in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, content)

    original = store.write_durably
    write_foreign(tmp_path / "f.zarr")
    monkeypatch.setattr(store, "write_durably", full)
    with pytest.raises(DatasetError, match=r"ours: the disk is full.*nothing was imported"):
        import_data(tmp_path / "f.zarr", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["f.zarr"]


SLOW_IMPORT = """
import sys, time
from kinoise.datasets.formats import copying
copying.BLOCK_BYTES = 1
def slowly(done, whole):
    print("block", flush=True)
    time.sleep(0.02)
copying.import_data(sys.argv[1], sys.argv[2], progress=slowly)
"""


def test_a_killed_import_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    write_foreign(tmp_path / "f.zarr")
    command = [sys.executable, "-c", SLOW_IMPORT, str(tmp_path / "f.zarr"), str(tmp_path / "ours")]
    for wait in (0.0, 0.05, 0.1):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.wait()
        assert not (tmp_path / "ours").exists()
    import_data(tmp_path / "f.zarr", tmp_path / "ours")
    assert ReplayBuffer.open(tmp_path / "ours").n_steps == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.zarr", "ours"]


def test_the_human_push_t_data_come_over_whole(tmp_path: Path, pusht_human: Path) -> None:
    keys = ["action", "keypoint", "n_contacts", "state"]
    report = import_data(pusht_human, tmp_path / "ours", keys=keys)
    assert (report.n_episodes, report.n_steps) == (206, 25_650)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    source = zarr.open_group(str(pusht_human), mode="r", zarr_format=2)
    assert np.array_equal(buffer.episode_ends, source["meta/episode_ends"][:])
    for key in keys:
        expected = source["data"][key][:]
        assert buffer.read(key).dtype == expected.dtype
        assert buffer.read(key).tobytes() == expected.tobytes()


@pytest.mark.slow
def test_the_human_push_t_pictures_come_over_bit_for_bit(tmp_path: Path, pusht_human: Path) -> None:
    import_data(pusht_human, tmp_path / "ours")
    buffer = ReplayBuffer.open(tmp_path / "ours")
    source = zarr.open_group(str(pusht_human), mode="r", zarr_format=2)
    assert buffer.keys == sorted(source["data"].array_keys())
    for start in range(0, 25_650, 1000):
        expected = source["data/img"][start : start + 1000]
        assert buffer.read("img", start, start + 1000).tobytes() == expected.tobytes()


def test_a_part_of_a_vector_can_be_named_on_the_way(tmp_path: Path) -> None:
    arrays = write_foreign(tmp_path / "foreign.zarr")
    report = import_data(
        tmp_path / "foreign.zarr", tmp_path / "ours", derived={"agent_pos": ("state", 1, 3)}
    )
    assert "agent_pos" in report.keys
    part = ReplayBuffer.open(tmp_path / "ours").read("agent_pos")
    assert np.array_equal(part, arrays["state"][:, 1:3])


@pytest.mark.parametrize(
    "derived", [{"x": ("stat", 0, 2)}, {"x": ("state", 2, 9)}, {"action": ("state", 0, 2)}]
)
def test_a_part_that_does_not_exist_is_refused(tmp_path: Path, derived: dict[str, Any]) -> None:
    write_foreign(tmp_path / "foreign.zarr")
    with pytest.raises(DatasetError, match="cannot derive"):
        import_data(tmp_path / "foreign.zarr", tmp_path / "ours", derived=derived)
    assert not (tmp_path / "ours").exists()

"""Export and import again: every bit comes back, and no half of it is ever seen."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data
from kinoise.datasets.formats.lerobot import export_data
from kinoise.datasets.formats.lerobot.writer import files as writer_files
from kinoise.datasets.storage import ReplayBuffer

DTYPES = ["bool", "uint8", "int8", "uint16", "int32", "int64", "uint64", "float16", "float32"]
KEYS = ["state", "reward", "images", "top", "a.b", "timestamp", "next.done", "environment_state"]


@st.composite
def episodes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw up to three episodes of equal keys: numbers of every dtype and pictures."""
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {"action": (np.dtype("float64"), (2,))}
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True)):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        picture = st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4]))
        shape = draw(st.one_of(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3), picture))
        kinds[key] = (dtype, shape)
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return [
        {key: draw(_values(dtype, (length, *shape))) for key, (dtype, shape) in kinds.items()}
        for length in lengths
    ]


def _values(dtype: np.dtype[Any], shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    elements: Any = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    if dtype == np.float64:
        # The squares of greater ones have no statistics.
        elements = {"min_value": -1e100, "max_value": 1e100}
    return hnp.arrays(dtype, shape, elements=elements)


@settings(max_examples=15)
@given(episodes=episodes(), fps=st.sampled_from([10, 12.5, 30, 29.97, 0.5]))
def test_what_was_exported_comes_back_bit_for_bit(episodes: list[Any], fps: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        action = {"meaning": "relative", "units": "m", "low": [-1, -2], "high": None}
        with ReplayBuffer.create(
            root / "a.zarr", {"control_rate_hz": fps, "action": action}
        ) as before:
            for episode in episodes:
                before.append_episode(episode)
        export_data(root / "a.zarr", root / "lerobot")
        import_data(root / "lerobot", root / "b.zarr")

        after = ReplayBuffer.open(root / "b.zarr")
        assert after.episode_ends.tolist() == before.episode_ends.tolist()
        assert after.keys == before.keys
        for key in before.keys:
            assert after.read(key).dtype == before.read(key).dtype
            assert after.read(key).shape == before.read(key).shape
            assert after.read(key).tobytes() == before.read(key).tobytes()
        for name in ("control_rate_hz", "action"):
            assert after.attrs[name] == before.attrs[name]


def moving(length: int, seed: int = 0) -> dict[str, Any]:
    """Return an episode of smooth pictures that differ from step to step."""
    rows, columns = np.mgrid[:48, :64]
    pictures = [np.stack([3 * columns + 9 * t, 4 * rows, rows + 20 * t], -1) for t in range(length)]
    return {
        "action": np.arange(2.0 * length).reshape(length, 2) + seed,
        "top": (np.stack(pictures) % 200 + 5 * seed).astype(np.uint8),
    }


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_video_comes_back_frame_for_frame(
    tmp_path: Path, write: Callable[..., ReplayBuffer], codec: str
) -> None:
    before = write([moving(9), moving(1, 1), moving(6, 2)])
    report = export_data(before.path, tmp_path / "lerobot", images=codec)
    assert any("loses detail" in note for note in report.notes)
    import_data(tmp_path / "lerobot", tmp_path / "back.zarr")
    found = ReplayBuffer.open(tmp_path / "back.zarr").read("top").astype(float)
    expected = before.read("top").astype(float)
    nearest = [int(np.abs(expected - frame).mean(axis=(1, 2, 3)).argmin()) for frame in found]
    assert nearest == list(range(16))
    assert np.abs(found - expected).mean() < 4


def test_full_files_are_followed_by_others(
    tmp_path: Path, write: Callable[..., ReplayBuffer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinoise.datasets.formats.lerobot.writer import encoding

    monkeypatch.setattr(writer_files, "DATA_FILE_MB", 0)
    monkeypatch.setattr(encoding, "FILE_MB", 0)
    before = write([moving(3), moving(2, 1)])
    export_data(before.path, tmp_path / "lerobot", images="h264")
    assert len(list((tmp_path / "lerobot" / "data").rglob("*.parquet"))) == 2
    assert len(list((tmp_path / "lerobot" / "videos").rglob("*.mp4"))) == 2
    import_data(tmp_path / "lerobot", tmp_path / "back.zarr")
    back = ReplayBuffer.open(tmp_path / "back.zarr")
    assert np.array_equal(back.read("action"), before.read("action"))


def test_the_statistics_are_those_of_the_data(
    tmp_path: Path, write: Callable[..., ReplayBuffer]
) -> None:
    generator = np.random.default_rng(0)
    before = write([{"action": generator.normal(size=(n, 2)) * [1, 9]} for n in (40, 7, 23)])
    export_data(before.path, tmp_path / "lerobot")
    stats = json.loads((tmp_path / "lerobot" / "meta" / "stats.json").read_text())["action"]
    values = before.read("action")
    for name in ("min", "max", "mean", "std"):
        assert np.allclose(stats[name], getattr(np, name)(values, axis=0), rtol=1e-12)
    assert stats["count"] == [70]
    assert np.allclose(stats["q50"], np.median(values, axis=0), atol=2)


def test_the_task_is_the_sources_unless_one_is_given(
    tmp_path: Path, unzip: Callable[[str], Path]
) -> None:
    import_data(unzip("v3.0_image"), tmp_path / "ours.zarr")
    for task in (None, "stack"):
        export_data(tmp_path / "ours.zarr", tmp_path / f"out_{task}", task=task)
        import_data(tmp_path / f"out_{task}", tmp_path / f"{task}.zarr")
    kept = ReplayBuffer.open(tmp_path / "None.zarr").attrs["source"]["attributes"]
    assert (kept["tasks"], kept["episode_tasks"]) == (
        ["push the block", "lift the block"],
        [0, 0, 1],
    )
    given = ReplayBuffer.open(tmp_path / "stack.zarr").attrs["source"]["attributes"]
    assert given["tasks"] == ["stack"]


def test_an_odd_picture_is_no_video(tmp_path: Path, write: Callable[..., ReplayBuffer]) -> None:
    episode = {"action": np.zeros((2, 1)), "eye": np.zeros((2, 5, 4, 3), dtype=np.uint8)}
    with pytest.raises(DatasetError, match="even sides; use images=png"):
        export_data(write([episode]).path, tmp_path / "out", images="h264")
    assert not (tmp_path / "out").exists()


def test_an_unknown_rate_is_asked_for(tmp_path: Path, write: Callable[..., ReplayBuffer]) -> None:
    buffer = write([{"action": np.zeros((2, 1))}], {"control_rate_hz": None})
    with pytest.raises(DatasetError, match="give fps="):
        export_data(buffer.path, tmp_path / "out")
    export_data(buffer.path, tmp_path / "out", fps=20)


def test_only_a_lerobot_data_set_is_replaced_and_only_when_told(
    tmp_path: Path, write: Callable[..., ReplayBuffer]
) -> None:
    buffer = write([{"action": np.zeros((2, 1))}])
    out = tmp_path / "out"
    export_data(buffer.path, out)
    with pytest.raises(DatasetError, match="overwrite=true"):
        export_data(buffer.path, out)
    export_data(buffer.path, out, overwrite=True)
    (out / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="other files"):
        export_data(buffer.path, out, overwrite=True)
    assert (out / "letter.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.zarr", "out"]


def test_a_full_disk_leaves_nothing_and_the_old_data_set_stays(
    tmp_path: Path, write: Callable[..., ReplayBuffer], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = write([{"action": np.zeros((2, 1))}])
    export_data(buffer.path, tmp_path / "out")
    before = (tmp_path / "out" / "meta" / "info.json").read_bytes()

    def full(path: Path, content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer_files, "write_json", full)
    with pytest.raises(DatasetError, match="the disk is full"):
        export_data(buffer.path, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "meta" / "info.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.zarr", "out"]


def test_what_a_killed_export_left_is_removed_by_the_next(
    tmp_path: Path, write: Callable[..., ReplayBuffer], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = write([{"action": np.zeros((2, 1))}])
    left = tmp_path / ".out.writing"
    shutil.copytree(buffer.path, left)
    export_data(buffer.path, tmp_path / "out")
    assert not left.exists()
    assert [child.name for child in (tmp_path / "out" / "data").iterdir()] == ["chunk-000"]

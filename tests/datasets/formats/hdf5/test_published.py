"""HDF5 data sets as their own libraries write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import foreign
import numpy as np
import pytest

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.formats import import_data
from kinoise.datasets.storage import ReplayBuffer

h5py = pytest.importorskip("h5py")

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def lift() -> Path:
    """Return robomimic's human Lift demonstrations beside the checkout, or skip."""
    shared = Path(__file__).resolve().parents[5] / "shared" / "data"
    path = shared / "lift_ph10_image.hdf5"
    if not path.exists():
        pytest.skip("shared/data/lift_ph10_image.hdf5 is absent")
    return path


def test_robomimics_human_lift_comes_over_bit_for_bit(lift: Path, tmp_path: Path) -> None:
    report = import_data(lift, tmp_path / "ours")
    assert (report.format, report.n_episodes, report.n_steps) == ("robomimic", 10, 531)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.attrs["control_rate_hz"] == 20.0
    assert buffer.attrs["action"]["meaning"] == "relative"
    assert buffer.attrs["action"]["gripper"] == "positive_closes"
    assert buffer.attrs["source"]["attributes"]["env_args"]["env_name"] == "Lift"
    with h5py.File(lift) as file:
        for episode in (0, 9):
            demo = file[f"data/demo_{episode}"]
            start, stop = buffer.bounds(episode)
            assert np.array_equal(buffer.read("action", start, stop), demo["actions"][:])
            for key in ("agentview_image", "object", "robot0_eef_quat"):
                assert np.array_equal(buffer.read(key, start, stop), demo[f"obs/{key}"][:])


def test_a_filter_key_of_robomimic_is_a_subset(tmp_path: Path) -> None:
    episodes = foreign.make_episodes()
    source = foreign.write_robomimic(tmp_path, episodes)
    report = import_data(source, tmp_path / "ours", subset="train")
    assert report.n_episodes == 2
    read = ReplayBuffer.open(tmp_path / "ours").read("action")
    assert np.array_equal(read, foreign.joined(episodes[:2], "action"))
    with pytest.raises(DatasetError, match="no part called 'trian'; did you mean 'train'"):
        import_data(source, tmp_path / "other", subset="trian")


def test_what_robosuite_says_of_its_controller_is_stated(tmp_path: Path) -> None:
    source = foreign.write_robomimic(tmp_path, foreign.make_episodes())
    import_data(source, tmp_path / "ours")
    action = ReplayBuffer.open(tmp_path / "ours").attrs["action"]
    assert action["meaning"] == "relative"
    assert action["rotation"] == "axis_angle"
    assert action["frame"] is None


def test_what_minari_wrote_reads_as_minari_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "pictures-v0" / "data"
    folder.mkdir(parents=True)
    for name, packed in (("main_data.hdf5", "hdf5"), ("metadata.json", "json")):
        content = gzip.decompress((FIXTURES / f"minari_pictures.{packed}.gz").read_bytes())
        (folder / name).write_bytes(content)
    report = import_data(folder.parent, tmp_path / "ours")
    assert (report.format, report.n_episodes, report.n_steps) == ("minari", 2, 12)
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert buffer.attrs["env_id"] == "gym:Pics-v0"
    assert buffer.attrs["action"]["high"] == [1.0, 1.0]
    assert buffer.episode_seeds.tolist() == [5, 6]
    decoded = np.load(FIXTURES / "minari_pictures_decoded.npz")
    for episode in (0, 1):
        read = buffer.episode(episode)
        assert np.array_equal(read["image"][:2], decoded[f"image_{episode}"])
        assert np.array_equal(read["pos"], decoded[f"pos_{episode}"][:6])
        assert np.array_equal(read["action"], decoded[f"action_{episode}"])


def test_minaris_last_observation_is_left_out_and_said(tmp_path: Path) -> None:
    report = import_data(foreign.write_minari(tmp_path, foreign.make_episodes()), tmp_path / "ours")
    assert any("one row more than actions" in line for line in report.converted)
    assert ReplayBuffer.open(tmp_path / "ours").episode_seeds.tolist() == [7, 8, 9]


def test_packed_pictures_of_aloha_are_decoded(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    generator = np.random.default_rng(0)
    folder = tmp_path / "aloha"
    folder.mkdir()
    pictures = generator.integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    packed = []
    for picture in pictures:
        content = BytesIO()
        Image.fromarray(picture).save(content, "PNG")
        packed.append(np.frombuffer(content.getvalue(), dtype=np.uint8))
    longest = max(map(len, packed))
    with h5py.File(folder / "episode_0.hdf5", "w") as file:
        file.attrs["compress"] = True
        file["action"] = np.zeros((5, 14))
        file["observations/qpos"] = np.zeros((5, 14))
        rows = [np.pad(each, (0, longest - len(each))) for each in packed]
        file["observations/images/top"] = np.stack(rows)
        file["compress_len"] = np.array([[len(each) for each in packed]])
    import_data(folder, tmp_path / "ours")
    buffer = ReplayBuffer.open(tmp_path / "ours")
    assert np.array_equal(buffer.read("image_top"), pictures)
    assert buffer.attrs["action"]["meaning"] == "absolute"
    assert buffer.attrs["action"]["frame"] == "joint"


def test_d4rl_ends_episodes_at_terminals_and_timeouts(tmp_path: Path) -> None:
    source = foreign.write_d4rl(tmp_path, foreign.make_episodes((6, 7, 9)))
    report = import_data(source, tmp_path / "ours")
    assert ReplayBuffer.open(tmp_path / "ours").episode_ends.tolist() == [6, 13, 22]
    assert any("infos/" in note for note in report.notes)


def test_without_h5py_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = foreign.write_hdf5(tmp_path, foreign.make_episodes())
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DatasetError, match=r"pip install 'kinoise\[data\]'"):
        import_data(source, tmp_path / "ours")

"""Planted faults are found, sound data are left in peace, and the picture is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from kinoise.datasets.errors import DatasetError
from kinoise.datasets.inspection import Report, check_against, inspect
from kinoise.datasets.storage import ReplayBuffer

MakeBuffer = Callable[..., ReplayBuffer]
MakeEpisode = Callable[..., dict[str, NDArray[Any]]]
STATED = {
    "control_rate_hz": 20,
    "env_id": "kinoise/PushT-v0",
    "action": {"meaning": "absolute", "units": "m", "low": [-500, -500], "high": [500, 500]},
}


def inspect_edited(
    path: Path, make_episode: MakeEpisode, edit: Callable[[dict[str, NDArray[Any]], int], None]
) -> Report:
    """Inspect eight sound episodes after `edit(episode, number)` has had each of them."""
    with ReplayBuffer.create(path, STATED) as buffer:
        for number in range(8):
            episode = make_episode(60, number)
            edit(episode, number)
            buffer.append_episode(episode)
    return inspect(path)


def constant(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["state"][:, 1] = 0.5


def near_constant(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["state"][:, 1] = np.linspace(0.5, 0.5001, 60)


def constant_action(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["action"][:, 1] = 0.5


def near_constant_action(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["action"][:, 1] = np.linspace(0.5, 0.5001, 60)


def near_constant_beside_others(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["state"][:, 1] = np.linspace(-1e-7, 1e-7, 60)


def jump(episode: dict[str, NDArray[Any]], number: int) -> None:
    if number == 3:
        episode["state"][30:, 2] += 1000


def wrapped_angle(episode: dict[str, NDArray[Any]], number: int) -> None:
    episode["state"][:, 0] = (0.05 * np.arange(60) + number) % (2 * np.pi)


def beyond_limits(episode: dict[str, NDArray[Any]], number: int) -> None:
    if number == 5:
        episode["action"][7, 1] = 501


def duplicate(episode: dict[str, NDArray[Any]], number: int) -> None:
    if number == 6:
        for key in episode:
            episode[key] = np.zeros_like(episode[key]) + np.arange(60).reshape(
                -1, *(1 for _ in episode[key].shape[1:])
            ).astype(episode[key].dtype)
    if number == 7:
        duplicate(episode, 6)


def short(episode: dict[str, NDArray[Any]], number: int) -> None:
    if number == 2:
        for key in episode:
            episode[key] = episode[key][:4]


@pytest.mark.parametrize(
    ("edit", "severity", "message"),
    [
        (constant, "warning", "'state' never changes in dimension 1"),
        (near_constant, "warning", "'state' hardly changes in dimension 1"),
        (constant_action, "warning", "'action' never changes in dimension 1"),
        (near_constant_action, "warning", "'action' hardly changes in dimension 1"),
        (near_constant_beside_others, "warning", "'state' hardly changes in dimension 1"),
        (jump, "warning", "'state' dimension 2 jumps by up to 100"),
        (wrapped_angle, "warning", "'state' dimension 0 jumps by up to 6.2"),
        (beyond_limits, "error", "high limit in 1 steps of episode 5, dimension 1, by up to 1"),
        (duplicate, "warning", "episodes 6, 7 are the same"),
        (short, "warning", "1 very short: episode 2 (4 to 4 steps, median 60)"),
    ],
)
def test_a_planted_fault_is_found_with_its_place(
    tmp_path: Path, make_episode: MakeEpisode, edit: Any, severity: str, message: str
) -> None:
    report = inspect_edited(tmp_path / "d.zarr", make_episode, edit)
    matching = [finding for finding in report.findings if message in finding.message]
    assert len(matching) == 1, report.findings
    assert matching[0].severity == severity
    assert matching[0].mend
    assert message in report.to_text()


@pytest.mark.parametrize("edit", [constant_action, near_constant_action])
def test_a_constant_action_is_not_advised_to_leave_the_observations(
    tmp_path: Path, make_episode: MakeEpisode, edit: Any
) -> None:
    (finding,) = inspect_edited(tmp_path / "d.zarr", make_episode, edit).findings
    assert "observations" not in finding.mend
    assert "the policy will" in finding.mend


def test_a_constant_observation_is_advised_to_leave_the_observations(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    (finding,) = inspect_edited(tmp_path / "d.zarr", make_episode, constant).findings
    assert "drop it from the observations" in finding.mend


def test_the_units_of_a_key_do_not_decide_what_is_constant(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    def in_kilometres(episode: dict[str, NDArray[Any]], number: int) -> None:
        episode["state"] *= np.float32(1e-9)

    assert inspect_edited(tmp_path / "d.zarr", make_episode, in_kilometres).findings == ()


def test_an_angle_that_wraps_is_told_apart_from_a_fault(
    tmp_path: Path, make_episode: MakeEpisode
) -> None:
    found = inspect_edited(tmp_path / "a.zarr", make_episode, wrapped_angle).findings
    assert any("sine and cosine" in finding.mend for finding in found)
    found = inspect_edited(tmp_path / "b.zarr", make_episode, jump).findings
    assert not any("sine and cosine" in finding.mend for finding in found)


def test_nan_written_behind_our_back_is_found(make_buffer: MakeBuffer) -> None:
    path = make_buffer([20, 30, 40]).path
    zarr.open_group(str(path), mode="r+")["data/state"][25, 1] = np.nan
    report = inspect(path)
    assert report.worst == "error"
    assert "NaN or infinity in 1 steps of episode 1" in report.findings[0].message


def test_sound_data_raise_no_finding(tmp_path: Path, make_episode: MakeEpisode) -> None:
    report = inspect_edited(tmp_path / "d.zarr", make_episode, lambda episode, number: None)
    assert report.findings == ()
    assert report.worst is None
    assert report.seconds == 8 * 60 / 20
    assert "nothing found that would hurt training" in report.to_text()


def test_a_gripper_that_switches_is_no_jump(tmp_path: Path, make_episode: MakeEpisode) -> None:
    def switch(episode: dict[str, NDArray[Any]], number: int) -> None:
        episode["action"][:, 1] = np.where(np.arange(60) < 30, -1.0, 1.0)

    assert inspect_edited(tmp_path / "d.zarr", make_episode, switch).findings == ()


def test_the_summary_names_shape_dtype_and_range_of_every_key(make_buffer: MakeBuffer) -> None:
    buffer = make_buffer([20, 30])
    report = inspect(buffer)
    assert [(key.key, key.shape, key.dtype) for key in report.keys] == [
        ("action", (2,), "float64"),
        ("image", (4, 5, 3), "uint8"),
        ("state", (3,), "float32"),
    ]
    np.testing.assert_array_equal(report.keys[0].low, buffer.read("action").min(0))
    np.testing.assert_array_equal(report.keys[1].high, buffer.read("image").max((0, 1, 2)))
    assert any("not stated: control rate" in finding.message for finding in report.findings)


def test_an_empty_data_set_is_reported_as_such(tmp_path: Path) -> None:
    ReplayBuffer.create(tmp_path / "empty.zarr").close()
    report = inspect(tmp_path / "empty.zarr")
    assert report.findings[0].message == "there is no episode"
    assert "0 episodes" in report.to_text()


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"state": (4,)}, r"'state': .* holds \(3,\) per step, PushT has \(4,\)"),
        ({"stat": (3,)}, "has the key 'stat'.*did you mean 'state'"),
        ({"action": (7,)}, r"'action': .* \(2,\) per step, PushT has \(7,\)"),
    ],
)
def test_a_data_set_that_does_not_fit_the_task_is_told_in_one_line(
    make_buffer: MakeBuffer, spec: dict[str, tuple[int, ...]], fault: str
) -> None:
    buffer = make_buffer([20])
    check_against(buffer, {"state": (3,), "image": (4, 5, 3), "action": (2,)}, env="PushT")
    with pytest.raises(DatasetError, match=fault) as caught:
        check_against(buffer, spec, env="PushT")
    assert "\n" not in str(caught.value)


def test_the_human_push_t_angle_is_flagged(tmp_path: Path, pusht_human: Path) -> None:
    from kinoise.datasets.formats import import_data

    import_data(pusht_human, tmp_path / "p.zarr", keys=["state"])
    messages = [finding.message for finding in inspect(tmp_path / "p.zarr").findings]
    assert any("'state' dimension 4 jumps by up to 6.28" in message for message in messages)

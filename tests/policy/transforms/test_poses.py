"""Observations as seen from the robot now, or from the goal."""

from __future__ import annotations

import pytest
import torch
from test_frames import poses

from kinoise.policy.errors import PolicyError
from kinoise.policy.transforms import RelativePose
from kinoise.policy.transforms.frames import FRAMES


def test_the_present_pose_is_the_origin_of_the_whole_history() -> None:
    transform = RelativePose("obs", [[0, 1], [2, 3]], "obs", [0, 1])
    history = torch.tensor([[[1.0, 1.0, 5.0, 6.0], [2.0, 4.0, 5.0, 6.0]]])
    seen = transform.observe({"obs": history})["obs"]
    assert seen.tolist() == [[[-1, -3, 3, 2], [0, 0, 3, 2]]]


def test_each_step_may_have_its_own_reference() -> None:
    transform = RelativePose("robot", [[0, 1]], "goal", [1, 2], at="each")
    obs = {
        "robot": torch.tensor([[[1.0, 1.0], [2.0, 4.0]]]),
        "goal": torch.tensor([[[9.0, 1.0, 0.0], [9.0, 0.0, 1.0]]]),
    }
    seen = transform.observe(obs)
    assert seen["robot"].tolist() == [[[0, 1], [2, 3]]]
    assert seen["goal"] is obs["goal"]


@pytest.mark.parametrize("form", [form for form in FRAMES if form != "position"])
def test_features_do_not_change_with_a_rigid_motion_of_the_world(form: str) -> None:
    frame = FRAMES[form]
    size = frame.dims + frame.n_rotation
    point = list(range(2 * size, 2 * size + frame.dims))
    transform = RelativePose(
        "obs",
        [list(range(size)), list(range(size, 2 * size)), point],
        "obs",
        list(range(size)),
        form=form,
    )
    robot, thing = (poses(form, 20, seed).view(10, 2, size) for seed in (0, 1))
    motion = poses(form, 1, seed=2)
    target = poses(form, 20, seed=3).view(10, 2, size)[..., : frame.dims]

    before = torch.cat([robot, thing, target], -1)
    after = torch.cat([frame.absolute(value, motion) for value in (robot, thing, target)], -1)
    assert (before - after).abs().max() > 0.5
    seen, same = (transform.observe({"obs": value})["obs"] for value in (before, after))
    torch.testing.assert_close(seen, same, rtol=0, atol=1e-9)


def test_a_matrix_of_key_points_is_flattened_and_whole_numbers_become_floats() -> None:
    transform = RelativePose("points", [[0, 1], [2, 3]], "robot", [0, 1])
    assert transform.connect({"points": (2, 2), "robot": (2,), "action": (1,)})["points"] == (4,)
    obs = {
        "points": torch.arange(8).view(1, 2, 2, 2),
        "robot": torch.ones(1, 2, 2),
    }
    assert transform.observe(obs)["points"].tolist() == [[[-1, 0, 1, 2], [3, 4, 5, 6]]]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"form": "planer"}, "did you mean 'planar'"),
        ({"at": "noww"}, "did you mean 'now'"),
        ({"reference": "rowbot"}, "did you mean 'robot'"),
        ({"reference_columns": [0, 7]}, "has no column 7"),
        ({"columns": [[0, 1, 1]]}, "twice"),
        ({"columns": [[0]]}, "cannot be relative"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(changes: dict[str, object], fault: str) -> None:
    settings = {
        "key": "obs",
        "columns": [[0, 1]],
        "reference": "robot",
        "reference_columns": [0, 1],
        **changes,
    }
    with pytest.raises(PolicyError, match=fault) as error:
        RelativePose(**settings).connect({"obs": (4,), "robot": (2,), "action": (1,)})
    assert "\n" not in str(error.value)

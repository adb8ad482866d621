"""Ray casting against what geometry says, without OpenGL to compare with."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.envs.physics import Physics
from kinoise.envs.rendering.raycast import RaycastRenderer

#: A ball straight ahead, under a sky that is white above and blue below; flat light.
SCENE = """
<mujoco>
  <asset>
    <texture type="skybox" builtin="gradient" rgb1="1 1 1" rgb2="0 0 1" width="8" height="48"/>
  </asset>
  <visual>
    <headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/>
  </visual>
  <worldbody>
    <camera name="ahead" pos="0 -2 0" xyaxes="1 0 0 0 0 1" fovy="60"/>
    <camera name="up" pos="0 -2 0" xyaxes="1 0 0 0 -1 0"/>
    <camera name="down" pos="0 -2 0" xyaxes="1 0 0 0 1 0"/>
    <geom type="sphere" size=".5" rgba="1 0 0 1"/>
  </worldbody>
</mujoco>
"""


def picture(camera: str, size: int = 61) -> NDArray[np.int64]:
    physics = Physics(mujoco.MjModel.from_xml_string(SCENE))
    physics.forward()
    rendered = RaycastRenderer(physics.model).render(physics.data, camera, size, size)
    return rendered.astype(np.int64)


@pytest.mark.parametrize("size", [60, 61])
def test_a_symmetric_scene_has_a_symmetric_picture(size: int) -> None:
    ahead = picture("ahead", size)
    np.testing.assert_array_equal(ahead, ahead[:, ::-1])
    red = (ahead == [255, 0, 0]).all(axis=2)
    np.testing.assert_array_equal(red, red[::-1])


def test_a_ball_is_as_large_as_the_field_of_view_says() -> None:
    """Radius 1/2 at distance 2: rays within asin(1/4) of the axis, in a view of 60 degrees."""
    red = (picture("ahead", 201) == [255, 0, 0]).all(axis=2)
    radius = np.tan(np.arcsin(0.25)) / np.tan(np.radians(30)) * 100.5
    assert red.sum() == pytest.approx(np.pi * radius**2, rel=0.01)


def test_the_sky_is_white_above_and_blue_below() -> None:
    above, below = picture("up").mean(axis=(0, 1)), picture("down").mean(axis=(0, 1))
    assert above[0] > 200
    assert below[0] < 55
    assert above[2] > 240
    assert below[2] > 240

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from kinoise.envs.errors import EnvError
from kinoise.envs.physics import Physics
from kinoise.envs.rendering.raycast import RaycastRenderer
from kinoise.envs.rendering.renderer import GLRenderer, open_renderer

SCENE = """
<mujoco>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1="1 1 1" rgb2="0 0 1" width="8"
             height="48"/>
    <texture name="tiles" type="2d" builtin="checker" rgb1="1 1 1" rgb2="0 0 0" width="64"
             height="64"/>
    <material name="tiles" texture="tiles" texrepeat="2 2" texuniform="true"/>
  </asset>
  <visual>
    <headlight ambient=".4 .4 .4" diffuse=".4 .4 .4" specular="0 0 0"/>
  </visual>
  <worldbody>
    <light directional="true" pos="0 0 3" dir=".4 .4 -1" diffuse=".4 .4 .4" specular="0 0 0"/>
    <camera name="view" pos="0 -2 1" xyaxes="1 0 0 0 .45 .89"/>
    <geom type="plane" size="2 2 .1" material="tiles"/>
    <geom type="sphere" size=".2" pos="-.8 0 .3" rgba="1 0 0 1"/>
    <geom type="box" size=".15 .15 .15" pos="-.3 0 .3" euler="0 0 30" rgba="0 1 0 1"/>
    <geom type="capsule" size=".1 .2" pos=".1 0 .4" euler="0 40 0" rgba="0 0 1 1"/>
    <geom type="cylinder" size=".1 .2" pos=".5 0 .3" euler="50 0 0" rgba="1 1 0 1"/>
    <geom type="ellipsoid" size=".1 .2 .3" pos=".9 0 .4" rgba="1 0 1 1"/>
    <geom type="sphere" size=".4" pos="0 -1 .7" group="3"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def physics() -> Physics:
    physics = Physics(mujoco.MjModel.from_xml_string(SCENE))
    physics.forward()
    return physics


def gl_renderer(model: Any) -> GLRenderer:
    try:
        return GLRenderer(model)
    except EnvError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", ["auto", "raycast", "fine", "raycast-fine"])
def test_a_picture_has_the_asked_size_and_content(physics: Physics, kind: str) -> None:
    renderer = open_renderer(physics.model, kind)
    picture = renderer.render(physics.data, "view", 64, 48)
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 20
    np.testing.assert_array_equal(picture, renderer.render(physics.data, "view", 64, 48))
    renderer.close()


def test_ray_casting_agrees_with_opengl(physics: Physics) -> None:
    drawn = gl_renderer(physics.model).render(physics.data, "view", 160, 120).astype(float)
    cast = RaycastRenderer(physics.model).render(physics.data, "view", 160, 120).astype(float)
    difference = np.abs(drawn - cast).max(axis=2)
    # Outlines and the tiles' edges fall between pixels; all else is the same colour.
    assert np.median(difference) < 6
    assert (difference < 24).mean() > 0.93


def test_shadows_darken_and_never_brighten(physics: Physics) -> None:
    plain = RaycastRenderer(physics.model).render(physics.data, "view", 96, 72)
    shaded = RaycastRenderer(physics.model, shadows=True).render(physics.data, "view", 96, 72)
    assert (shaded <= plain).all()
    assert 0.02 < (shaded < plain).any(axis=2).mean() < 0.4


def test_a_renderer_follows_the_simulation(physics: Physics) -> None:
    for kind in ("auto", "raycast"):
        renderer = open_renderer(physics.model, kind)
        before = renderer.render(physics.data, "view", 48, 48)
        physics.model.geom_pos[1, 2] += 0.3
        physics.forward()
        assert (renderer.render(physics.data, "view", 48, 48) != before).any()
        renderer.close()


def test_large_pictures_need_no_change_of_the_model(physics: Physics) -> None:
    picture = gl_renderer(physics.model).render(physics.data, "view", 1000, 700)
    assert picture.shape == (700, 1000, 3)


def test_an_unknown_renderer_is_named() -> None:
    with pytest.raises(EnvError, match="did you mean 'raycast'"):
        open_renderer(None, "raycst")


def test_without_opengl_the_fallback_is_taken(
    physics: Physics, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    assert isinstance(open_renderer(physics.model), RaycastRenderer)
    with pytest.raises(EnvError, match="no display"):
        open_renderer(physics.model, "gl")

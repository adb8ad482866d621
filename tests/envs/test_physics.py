"""Named quantities of the simulation are numbers of their own, and a state is all of it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from kinoise.envs.physics import Physics

#: A stack of two boxes that fall onto a plane, tilted: the solver's warm start matters.
SCENE = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="low" pos="0 0 .3" euler="10 20 0">
      <freejoint name="low"/>
      <geom type="box" size=".1 .1 .1"/>
      <site name="corner" pos=".1 .1 .1"/>
    </body>
    <body name="high" pos=".05 0 .6">
      <freejoint name="high"/>
      <geom type="box" size=".1 .1 .1"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def physics() -> Physics:
    physics = Physics(mujoco.MjModel.from_xml_string(SCENE))
    physics.forward()
    return physics


def test_what_was_read_does_not_move_with_the_simulation(physics: Physics) -> None:
    reads = [
        lambda: physics.body_position("low"),
        lambda: physics.body_rotation("low"),
        lambda: physics.site_position("corner"),
        lambda: physics.site_rotation("corner"),
        lambda: physics.joint_position("low"),
        lambda: physics.joint_velocity("low"),
    ]
    values = [read() for read in reads]
    kept = [value.copy() for value in values]
    physics.step(100)
    for read, value, before in zip(reads, values, kept, strict=True):
        np.testing.assert_array_equal(value, before)
        assert np.abs(read() - before).max() > 1e-3


def test_a_state_holds_what_the_solver_starts_from(physics: Physics) -> None:
    physics.step(200)
    state = physics.state()
    runs = []
    for _ in range(2):
        physics.step(150)
        runs.append(physics.data.qpos.copy())
        physics.step(50)
        physics.set_state(state)
    np.testing.assert_array_equal(*runs)

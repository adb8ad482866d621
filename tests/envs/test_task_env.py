from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.envs import make_env
from kinoise.envs.errors import EnvError
from kinoise.envs.physics import Physics, yaw_of, yaw_quaternion
from kinoise.envs.task_env import Outcome, Task, TaskEnv, box

PENDULUM = """
<mujoco model="pendulum">
  <option timestep="{timestep}"/>
  <worldbody>
    <camera name="side" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/>
    <body name="goal" mocap="true"><geom size=".02" contype="0" conaffinity="0"/></body>
    <body name="arm">
      <joint name="hinge" axis="0 1 0" damping="{damping}"/>
      <geom name="rod" type="capsule" fromto="0 0 0 .5 0 0" size=".02"/>
      <site name="tip" pos=".5 0 0"/>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge"/></actuator>
</mujoco>
"""


class Swing(Task):
    control_rate_hz = 20.0
    max_steps = 7
    camera = "side"
    action_space = box([-1.0], [1.0])
    observation_spaces = {"tip_pos": box([-1.0] * 3, [1.0] * 3)}  # noqa: RUF012

    def __init__(self, mjcf: Path) -> None:
        self.mjcf = mjcf  # type: ignore[misc]

    def initialise(self, physics: Physics, rng: np.random.Generator) -> None:
        physics.set_joint_position("hinge", rng.uniform(-1, 1))

    def apply_action(self, physics: Physics, action: NDArray[np.float64]) -> None:
        physics.set_control("motor", action[0])

    def observe(self, physics: Physics) -> dict[str, NDArray[np.float64]]:
        return {"tip_pos": physics.site_position("tip")}

    def evaluate(self, physics: Physics) -> Outcome:
        return Outcome(success=False, score=0.5)


def pendulum(folder: Path, timestep: float = 0.01, damping: float = 0.0) -> Path:
    path = folder / "pendulum.xml"
    path.write_text(PENDULUM.format(timestep=timestep, damping=damping))
    return path


@pytest.fixture
def env(tmp_path: Path) -> TaskEnv:
    return TaskEnv(Swing(pendulum(tmp_path)))


def test_one_step_lasts_one_control_period(env: TaskEnv) -> None:
    env.reset(seed=0)
    env.step(np.zeros(1))
    assert env.physics.data.time == pytest.approx(1 / Swing.control_rate_hz)


def test_the_observation_belongs_to_the_newest_positions(env: TaskEnv) -> None:
    env.reset(seed=0)
    obs, *_ = env.step(np.ones(1))
    angle = env.physics.joint_position("hinge")[0]
    np.testing.assert_allclose(
        obs["tip_pos"], [0.5 * np.cos(angle), 0, -0.5 * np.sin(angle)], atol=1e-6
    )


def test_an_episode_is_truncated_at_the_time_limit(env: TaskEnv) -> None:
    env.reset(seed=0)
    ends = [env.step(np.zeros(1))[2:4] for _ in range(Swing.max_steps)]
    assert ends == [(False, False)] * (Swing.max_steps - 1) + [(False, True)]


def test_the_time_limit_can_be_changed(tmp_path: Path) -> None:
    env = TaskEnv(Swing(pendulum(tmp_path)), max_steps=1)
    env.reset(seed=0)
    assert env.step(np.zeros(1))[3]


def test_a_restored_state_continues_bitwise_the_same(env: TaskEnv) -> None:
    env.reset(seed=1)
    env.step(np.ones(1))
    state = env.physics.state()
    first = env.step(np.ones(1))[0]["tip_pos"]
    env.step(-np.ones(1))
    env.physics.set_state(state)
    np.testing.assert_array_equal(env.step(np.ones(1))[0]["tip_pos"], first)


def test_actions_are_clipped_to_their_limits(env: TaskEnv) -> None:
    env.reset(seed=0)
    env.step(np.array([50.0]))
    assert env.physics.data.ctrl[0] == 1.0


@pytest.mark.parametrize(
    ("action", "message"),
    [([np.nan], "NaN"), ([np.inf], "NaN or infinity"), ([0.0, 0.0], "shape")],
)
def test_a_bad_action_is_named(env: TaskEnv, action: list[float], message: str) -> None:
    env.reset(seed=0)
    with pytest.raises(EnvError, match=message):
        env.step(np.array(action))


def test_a_diverged_simulation_is_reported(env: TaskEnv) -> None:
    env.reset(seed=0)
    env.physics.data.qvel[0] = np.inf
    with pytest.raises(EnvError, match="diverged"):
        env.step(np.ones(1))


def test_a_control_period_must_be_a_whole_number_of_time_steps(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match="whole number"):
        TaskEnv(Swing(pendulum(tmp_path, timestep=0.03)))


def test_a_broken_model_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.xml"
    path.write_text("<mujoco><worldbody><geom/></worldbody></mujoco>")
    with pytest.raises(EnvError, match=r"broken\.xml") as error:
        TaskEnv(Swing(path))
    assert "\n" not in str(error.value)


def test_unknown_names_suggest_the_nearest(env: TaskEnv) -> None:
    with pytest.raises(EnvError, match="did you mean 'side'"):
        env.frame("sid")
    with pytest.raises(EnvError, match="did you mean 'tip'"):
        env.physics.site_position("tipp")
    with pytest.raises(EnvError, match="did you mean 'kinoise/PickPlace-v0'"):
        make_env("kinoise/PickPlac-v0")
    with pytest.raises(EnvError, match="did you mean 'cameras'"):
        make_env("kinoise/PickPlace-v0", camera=("front",))


def test_reset_options_are_refused(env: TaskEnv) -> None:
    with pytest.raises(EnvError, match="options"):
        env.reset(options={"start": 1})


def test_a_mocap_pose_round_trips(env: TaskEnv) -> None:
    env.physics.set_mocap_pose("goal", [0.1, 0.2, 0.3], yaw=0.7)
    env.physics.forward()
    np.testing.assert_allclose(env.physics.body_position("goal"), [0.1, 0.2, 0.3])
    assert yaw_of(env.physics.body_rotation("goal")) == pytest.approx(0.7)
    assert np.linalg.norm(yaw_quaternion(2.0)) == pytest.approx(1.0)


def test_importing_the_package_imports_neither_mujoco_nor_torch() -> None:
    program = (
        "import sys, kinoise.envs\n"
        "heavy = {'mujoco', 'torch', 'matplotlib', 'zarr'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("choice", ["egl", "disable"])
def test_mujoco_imports_with_and_without_a_graphics_library(choice: str) -> None:
    program = (
        "import ctypes.util, os\n"
        "os.environ.pop('MUJOCO_GL', None)\n"
        f"if {choice!r} == 'disable': ctypes.util.find_library = lambda name: None\n"
        "import kinoise.envs, gymnasium\n"
        "env = gymnasium.make('kinoise/PickPlace-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0)\n"
        "assert env.render().std() > 10\n"
        "print(os.environ['MUJOCO_GL'])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert choice == "egl" or result.stdout.strip() == "disable"


def test_a_success_at_the_limit_is_an_end_and_no_truncation(
    env: TaskEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.reset(seed=0)
    monkeypatch.setattr(env, "max_steps", 1)
    monkeypatch.setattr(env.task, "evaluate", lambda physics: Outcome(success=True, score=1.0))
    _, reward, terminated, truncated, info = env.step(np.zeros(1))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["success"] is True


def test_an_episode_counts_its_own_steps(env: TaskEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "max_steps", 3)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(np.zeros(1))[3] for _ in range(3)] == [False, False, True]

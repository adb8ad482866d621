"""The gymnasium environment every MuJoCo task shares: Physics + Task + timing.

The split is that of dm_control's suite (Tassa et al. 2020, arXiv:2006.12983), re-told:

* `Physics` (physics.py): one simulation and its named quantities; knows nothing of any task.
* `Task`: what an episode is - how it starts, what an action does, what is seen, what counts.
  A task keeps no state of its own between calls: what changes lives in the Physics (a goal is
  a mocap body), so that one snapshot of the Physics is the whole episode.
* timing: an action holds for one control step, `1 / control_rate_hz` seconds, which is a whole
  number of the model's own time steps.

A new task is one Python file and one MJCF beside it (see tasks/pick_place.py):

    class Reach(Task):
        mjcf = Path(__file__).with_name("reach.xml")
        control_rate_hz, max_steps, camera = 10.0, 100, "front"
        action_space = box([-1, -1], [1, 1])                    # true limits, in SI units
        observation_spaces = {"tip_pos": box([-1] * 3, [1] * 3), "goal_pos": box([-1] * 3, [1] * 3)}
        def initialise(self, physics, rng):                     # after physics.reset()
            physics.set_mocap_pose("goal", rng.uniform(-0.3, 0.3, 3))
        def apply_action(self, physics, action):                # float64, inside the limits
            physics.set_control("shoulder", action[0])
        def observe(self, physics):
            return {"tip_pos": physics.site_position("tip"), "goal_pos": ...}
        def evaluate(self, physics):
            return Outcome(success=distance < 0.01, score=1 - distance)
    def make_env(**kwargs): return MujocoEnv(Reach(), **kwargs)  # the entry point in TASKS
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import ArrayLike, NDArray

from .errors import EnvError, unknown_name
from .physics import Physics
from .rendering import Renderer, open_renderer

Array = NDArray[np.float64]
Observation = dict[str, NDArray[Any]]


def box(low: ArrayLike, high: ArrayLike) -> Box:
    """Return the float32 Box with limits low and high."""
    return Box(np.asarray(low, np.float32), np.asarray(high, np.float32), dtype=np.float32)


@dataclass(frozen=True)
class Outcome:
    """How an episode stands: solved or not, and the progress in [0, 1]."""

    success: bool
    score: float


class Task(ABC):
    """What an episode is. Subclasses set the class attributes and the four methods."""

    mjcf: ClassVar[Path]
    """The task's model, beside its Python file."""
    control_rate_hz: ClassVar[float]
    max_steps: ClassVar[int]
    """Control steps until the episode is truncated."""
    camera: ClassVar[str]
    """The camera of `env.render()`."""
    action_space: ClassVar[Box]
    """float32 [Da] with the true limits; `action` arrives clipped to them."""
    observation_spaces: ClassVar[dict[str, Box]]
    """Key -> float32 Box; images are added by the environment."""

    def prepare(self, physics: Physics) -> None:
        """Look up indices and constants once, when the model has been compiled."""
        return

    @abstractmethod
    def initialise(self, physics: Physics, rng: np.random.Generator) -> None:
        """Draw a start state. The data has just been reset; `forward` follows."""

    @abstractmethod
    def apply_action(self, physics: Physics, action: Array) -> None:
        """Turn action [Da] into actuator controls, once per control step."""

    @abstractmethod
    def observe(self, physics: Physics) -> dict[str, Array]:
        """Return the low-dimensional observation; the environment casts it to float32."""

    @abstractmethod
    def evaluate(self, physics: Physics) -> Outcome:
        """Judge the present state."""


class MujocoEnv(gymnasium.Env[Any, Any]):
    """A Task as a gymnasium environment; the reward is the task's score.

    `info` carries `success` (bool) and `score` (float in [0, 1]) after reset and every step.
    `terminated` is set at success, `truncated` at the time limit.

    task: what an episode is.
    render_mode: "rgb_array" or None; `frame` works with either.
    cameras: names of cameras whose pictures join the observation as `image_<camera>`, uint8
        [image_size, image_size, 3].
    max_steps: the time limit in control steps; None keeps the task's.
    renderer: "auto", "gl" or "raycast" (see rendering.py).
    frame_size: width and height of `render()`.
    Raises EnvError for an unknown camera and for a control period that is not a whole number of
    time steps.
    """

    def __init__(
        self,
        task: Task,
        *,
        render_mode: str | None = None,
        cameras: Sequence[str] = (),
        image_size: int = 96,
        max_steps: int | None = None,
        renderer: str = "auto",
        frame_size: tuple[int, int] = (320, 240),
    ) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": task.control_rate_hz}
        self.render_mode = render_mode
        self.task = task
        self.physics = Physics.from_file(task.mjcf)
        self.n_substeps = _n_substeps(task, self.physics)
        self.max_steps = task.max_steps if max_steps is None else max_steps
        self.cameras = tuple(cameras)
        self.image_size = image_size
        self.frame_size = frame_size
        self._renderer_kind = renderer
        self._renderer: Renderer | None = None
        self._n_steps = 0
        for camera in (task.camera, *self.cameras):
            self._check_camera(camera)
        self.action_space = task.action_space
        images = Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = Dict(
            {**task.observation_spaces, **{f"image_{camera}": images for camera in self.cameras}}
        )
        task.prepare(self.physics)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; the same seed always starts the same one."""
        super().reset(seed=seed)
        if options:
            raise EnvError(f"reset takes no options; got {sorted(options)}")
        self.physics.reset()
        self.task.initialise(self.physics, self.np_random)
        self.physics.forward()
        self._n_steps = 0
        outcome = self.task.evaluate(self.physics)
        return self._observe(), _info(outcome)

    def step(
        self, action: NDArray[np.floating[Any]]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold action [Da] for one control step; it is clipped to the action limits.

        Raises EnvError for an action of the wrong shape or with NaN in it.
        """
        self.task.apply_action(self.physics, self._checked(action))
        self.physics.step(self.n_substeps)
        self._n_steps += 1
        outcome = self.task.evaluate(self.physics)
        truncated = self._n_steps >= self.max_steps and not outcome.success
        return self._observe(), outcome.score, outcome.success, truncated, _info(outcome)

    def frame(
        self, camera: str | None = None, width: int = 320, height: int = 240
    ) -> NDArray[np.uint8]:
        """Return a picture uint8 [height, width, 3] of the present state."""
        name = self.task.camera if camera is None else camera
        self._check_camera(name)
        if self._renderer is None:
            self._renderer = open_renderer(self.physics.model, self._renderer_kind)
        return self._renderer.render(self.physics.data, name, width, height)

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture of the task's own camera when render_mode is "rgb_array"."""
        return self.frame(None, *self.frame_size) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _observe(self) -> Observation:
        values = self.task.observe(self.physics)
        observation: Observation = {
            key: np.asarray(value, np.float32) for key, value in values.items()
        }
        for camera in self.cameras:
            observation[f"image_{camera}"] = self.frame(camera, self.image_size, self.image_size)
        return observation

    def _checked(self, action: NDArray[np.floating[Any]]) -> Array:
        values = np.asarray(action, np.float64)
        space = self.task.action_space
        if values.shape != space.shape:
            raise EnvError(f"an action has shape {space.shape}; got {values.shape}")
        if not np.isfinite(values).all():
            raise EnvError(f"the action holds NaN or infinity: {values.tolist()}")
        return values.clip(space.low, space.high)

    def _check_camera(self, camera: str) -> None:
        model = self.physics.model
        names = [model.camera(index).name for index in range(model.ncam)]
        if camera not in names:
            raise unknown_name("camera", camera, names)


def _n_substeps(task: Task, physics: Physics) -> int:
    """Return how many time steps of the model make one control step."""
    ratio = 1.0 / (task.control_rate_hz * physics.timestep)
    n_substeps = round(ratio)
    if n_substeps < 1 or abs(ratio - n_substeps) > 1e-6:
        raise EnvError(
            f"a control step of {1 / task.control_rate_hz:g} s is not a whole number of the "
            f"time step {physics.timestep:g} s; change one of them"
        )
    return n_substeps


def _info(outcome: Outcome) -> dict[str, Any]:
    return {"success": bool(outcome.success), "score": float(outcome.score)}

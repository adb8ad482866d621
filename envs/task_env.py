"""The gymnasium environment every MuJoCo task shares: Physics + Task + timing.

The split is that of dm_control's suite (Tassa et al. 2020), re-told:

* `Physics` (physics.py): one simulation and its named quantities; knows nothing of any task.
* `Task`: what an episode is - how it starts, what an action does, what is seen, what counts.
  A task keeps no state of its own between calls: what changes lives in the Physics (a goal is
  a mocap body), so that one snapshot of the Physics is the whole episode.
* timing: an action holds for one control step, `1 / control_rate_hz` seconds, which is a whole
  number of the model's own time steps.

A new task is a folder tasks/reach/ (see tasks/pick_place/): `__init__.py` declares its SPEC,
`task.py` holds the Task, and the MJCF and the expert stand beside it:

    class Reach(Task):
        mjcf = Path(__file__).with_name("reach.xml")
        control_rate_hz = SPEC.control_rate_hz
        max_steps = 100
        camera = "front"
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

    def make_env(**kwargs):                                     # what the SPEC names
        return TaskEnv(Reach(), **kwargs)
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

from .arguments import MAX_PIXELS, MAX_STEPS, check_range
from .errors import EnvError, unknown_name
from .physics import Physics
from .rendering.renderer import Renderer, open_renderer

Array = NDArray[np.float64]
Observation = dict[str, NDArray[Any]]

_SIDES = ("frame width", "frame height")


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
    """Actions a second; a registered task takes it from its SPEC."""
    max_steps: ClassVar[int]
    """Control steps until the episode is truncated."""
    camera: ClassVar[str]
    """The camera of `env.render()`."""
    action_space: ClassVar[Box]
    """float32 `[Da]` with the true limits; `action` arrives clipped to them."""
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
        """Turn action `[Da]` into actuator controls, once per control step."""

    def after_step(self, physics: Physics) -> None:
        """Note in the Physics what later steps must know of this one, once per control step."""
        return

    @abstractmethod
    def observe(self, physics: Physics) -> dict[str, Array]:
        """Return the low-dimensional observation; the environment casts it to float32."""

    @abstractmethod
    def evaluate(self, physics: Physics) -> Outcome:
        """Judge the present state."""


class TaskEnv(gymnasium.Env[Any, Any]):
    """A Task as a gymnasium environment; the reward is the task's score.

    `info` carries `success` (bool) and `score` (float in [0, 1]) after reset and every step.
    `terminated` is set at success, `truncated` at the time limit.

    Args:
        task: what an episode is.
        render_mode: "rgb_array" or None; `frame` works with either.
        cameras: names of cameras whose pictures join the observation as `image_<camera>`, uint8
            `[image_size, image_size, 3]`.
        image_size: edge of those pictures in pixels.
        max_steps: the time limit in control steps; None keeps the task's.
        renderer: "auto", "gl" or "raycast" (see rendering/renderer.py).
        frame_size: width and height of `render()` in pixels.

    Raises:
        EnvError: an unknown camera, a size out of range, or a control period that is not a whole
            number of time steps.
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
        for name, pixels in (("image_size", image_size), *zip(_SIDES, frame_size, strict=True)):
            check_range(name, pixels, 1, MAX_PIXELS)
        if max_steps is not None:
            check_range("max_steps", max_steps, 1, MAX_STEPS)

        self.task = task
        self.physics = Physics.from_file(task.mjcf)
        self.n_substeps = _n_substeps(task, self.physics)
        self.max_steps = task.max_steps if max_steps is None else max_steps
        self.cameras = tuple(dict.fromkeys(cameras))
        self.image_size = image_size
        self.frame_size = frame_size
        for camera in (task.camera, *self.cameras):
            self._check_camera(camera)

        self.metadata = {"render_modes": ["rgb_array"], "render_fps": task.control_rate_hz}
        self.render_mode = render_mode
        self.action_space = task.action_space
        images = Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = Dict(
            {**task.observation_spaces, **{f"image_{camera}": images for camera in self.cameras}}
        )

        self._renderer_kind = renderer
        self._renderer: Renderer | None = None
        self._n_steps = 0
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
        """Hold action `[Da]` for one control step; it is clipped to the action limits.

        Raises:
            EnvError: an action of the wrong shape or with NaN in it.
        """
        self.task.apply_action(self.physics, self._checked(action))
        self.physics.step(self.n_substeps)
        self.task.after_step(self.physics)
        self._n_steps += 1
        outcome = self.task.evaluate(self.physics)
        truncated = self._n_steps >= self.max_steps and not outcome.success
        return self._observe(), outcome.score, outcome.success, truncated, _info(outcome)

    def frame(
        self, camera: str | None = None, width: int = 320, height: int = 240
    ) -> NDArray[np.uint8]:
        """Return a picture, uint8 `[height, width, 3]`, of the present state."""
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

"""Push-T of the gym-pusht package (pymunk), with the keys of Diffusion Policy's human data set.

The physics is gym-pusht's own `PushTEnv`; this adapter drives its space without the work that a
rollout does not need (contact bookkeeping, two polygons built at each step) and returns bitwise
the same states. Extra: `pip install 'kinoise[pusht]'`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from ..arguments import MAX_PIXELS, MAX_STEPS, check_range
from ..errors import EnvError
from ..spec import EntryPoint, TaskSpec
from ..tasks.push_t import geometry, symmetry

Obs = dict[str, Any]

SPEC = TaskSpec(
    env_id="kinoise/GymPushT-v0",
    make_env=EntryPoint(__name__, "GymPushT"),
    control_rate_hz=10.0,
    action_meaning="absolute",
    action_units="pixel",
    symmetry=EntryPoint(symmetry.__name__, "mirror"),
)

_FULL_TURN = 2 * np.pi
_IMAGE_SIZE = 96


class GymPushT(gym.Env[Obs, NDArray[np.float32]]):
    """A pusher moves a T-shaped block onto its goal; lengths in pixels of a 512 px world.

    Observations (float32): `agent_pos` [2], `keypoint` [9, 2] (`geometry.KEYPOINTS` on the block)
    and `state` [5] = agent x, y, block x, y, angle in [0, 2 pi); with `image=True` also `img`
    uint8 [96, 96, 3]. The action [2] is the pusher's target position, clipped to the action space.
    `info` holds `coverage`, `score` = min(1, coverage / .95) and `success` (coverage > .95), which
    ends the episode.

    `reset(seed)` draws the state that gym-pusht's `reset(seed)` draws;
    `reset(options={"state": [5]})` starts from a recorded one.

    Args:
        max_steps: the time limit in control steps (300 in Diffusion Policy).
        image: whether pictures join the observation.
        render_mode: "rgb_array" or None.
        render_size: edge of `render()`'s pictures in pixels.

    Raises:
        EnvError: gym-pusht is not installed, a size is out of range, or a state or an action is not
            finite or has the wrong shape.
    """

    metadata = {  # noqa: RUF012 (gymnasium's)
        "render_modes": ["rgb_array"],
        "render_fps": SPEC.control_rate_hz,
    }

    def __init__(
        self,
        max_steps: int = 300,
        image: bool = False,
        render_mode: str | None = "rgb_array",
        render_size: int = 256,
    ) -> None:
        check_range("max_steps", max_steps, 1, MAX_STEPS)
        check_range("render_size", render_size, 1, MAX_PIXELS)
        self.max_steps = max_steps
        self.image = image
        self.render_mode = render_mode
        self._simulation = _simulation_class()(
            obs_type="state",
            observation_width=_IMAGE_SIZE,
            observation_height=_IMAGE_SIZE,
            visualization_width=render_size,
            visualization_height=render_size,
        )

        low = 0.0
        high = geometry.WORLD_SIZE
        entries: dict[str, spaces.Space[Any]] = {
            "agent_pos": spaces.Box(low, high, (2,), np.float32),
            # Keypoints hang over the block's edge and the block may be pushed over the walls'.
            "keypoint": spaces.Box(-high, 2 * high, (9, 2), np.float32),
            "state": spaces.Box(
                np.array([low, low, -high, -high, 0.0], np.float32),
                np.array([high, high, 2 * high, 2 * high, _FULL_TURN], np.float32),
                dtype=np.float32,
            ),
        }
        if image:
            entries["img"] = spaces.Box(0, 255, (_IMAGE_SIZE, _IMAGE_SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(entries)
        self.action_space = spaces.Box(low, high, (2,), np.float32)
        self._n_steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Start an episode from the seed's state, or from `options["state"]` [5]."""
        super().reset(seed=seed)
        self._n_steps = 0
        self._simulation._last_action = None
        if options is not None and options.get("state") is not None:
            self._set_state(_vector(options["state"], 5, "the state to reset to"))
        else:
            self._simulation.reset(seed=seed)
        self._mute_contacts()
        return self._obs(), self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Track the target `action` [2] px for .1 s; the reward is the score."""
        target = _vector(action, 2, "the action").clip(0.0, geometry.WORLD_SIZE)
        self._track(float(target[0]), float(target[1]))
        self._simulation._last_action = target
        self._n_steps += 1
        info = self._info()
        truncated = self._n_steps >= self.max_steps and not info["success"]
        return self._obs(), info["score"], info["success"], truncated, info

    def render(self) -> NDArray[np.uint8]:
        """Return the scene with the last target as a red cross, uint8 `[size, size, 3]`."""
        frame: NDArray[np.uint8] = self._simulation._render(visualize=True)
        return frame

    def close(self) -> None:
        self._simulation.close()

    @property
    def state(self) -> NDArray[np.float64]:
        """Agent x, y, block x, y (px) and angle in [0, 2 pi), float64 `[5]`."""
        agent = self._simulation.agent.position
        block = self._simulation.block.position
        return np.array([*agent, *block, self._simulation.block.angle % _FULL_TURN])

    def _obs(self) -> Obs:
        state = self.state
        obs: Obs = {
            "agent_pos": state[:2].astype(np.float32),
            "keypoint": geometry.keypoints(state[2:]).astype(np.float32),
            "state": state.astype(np.float32),
        }
        if self.image:
            obs["img"] = self._simulation._render(visualize=False)
        return obs

    def _info(self) -> dict[str, Any]:
        coverage = float(geometry.coverage(self.state[2:]))
        return {
            "coverage": coverage,
            "score": float(geometry.score(coverage)),
            "success": coverage > geometry.SUCCESS_COVERAGE,
        }

    def _set_state(self, state: NDArray[np.float64]) -> None:
        simulation = self._simulation
        # A fresh space: the old one remembers contacts, which would move the block.
        simulation._setup()
        simulation.agent.position = tuple(state[:2])
        # The angle first: setting it turns the block about its centre of mass and so shifts the
        # position. gym-pusht's own `_set_state` has the other order and misses the state asked.
        simulation.block.angle = float(state[4])
        simulation.block.position = tuple(state[2:4])
        simulation.space.step(simulation.dt)

    def _mute_contacts(self) -> None:
        # gym-pusht counts contact points in a Python callback on collision type 0, which takes a
        # quarter of a step's time; another type of collision works the same and calls nothing.
        for shape in self._simulation.space.shapes:
            shape.collision_type = 1

    def _track(self, x: float, y: float) -> None:
        """gym-pusht's PD control of the agent in plain floats, in its order of operations."""
        simulation = self._simulation
        k_p = simulation.k_p
        k_v = simulation.k_v
        dt = simulation.dt
        agent = simulation.agent
        space = simulation.space
        vx, vy = agent.velocity
        for _ in range(int(1 / (dt * simulation.control_hz))):
            agent_x, agent_y = agent.position
            vx += (k_p * (x - agent_x) + k_v * (0.0 - vx)) * dt
            vy += (k_p * (y - agent_y) + k_v * (0.0 - vy)) * dt
            agent.velocity = (vx, vy)
            space.step(dt)


class Replay(NamedTuple):
    """A replayed episode, the first entries at the reset.

    Attributes:
        states: `[T + 1, 5]`, see `GymPushT.state`.
        coverage: share of the goal's area, `[T + 1]`.
    """

    states: NDArray[np.float64]
    coverage: NDArray[np.float64]


def replay(env: GymPushT, state: ArrayLike, actions: ArrayLike) -> Replay:
    """Run recorded `actions` `[T, 2]` from a recorded `state` `[5]`, past any end."""
    _, info = env.reset(options={"state": state})
    states = [env.state]
    coverage = [info["coverage"]]
    for action in np.asarray(actions):
        info = env.step(action)[-1]
        states.append(env.state)
        coverage.append(info["coverage"])
    return Replay(np.array(states), np.array(coverage))


def _simulation_class() -> Callable[..., Any]:
    # pygame prints a banner when imported; nothing here needs a display.
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        from gym_pusht.envs import PushTEnv
    except ImportError as error:
        message = f"gym-pusht cannot be imported ({error}): pip install 'kinoise[pusht]'"
        raise EnvError(message) from error
    simulation: Callable[..., Any] = PushTEnv
    return simulation


def _vector(values: ArrayLike, size: int, name: str) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise EnvError(
            f"{name} must be {size} finite numbers, but is {np.asarray(values).tolist()}"
        )
    return vector

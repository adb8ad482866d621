"""A point that goes around an obstacle to a goal, in numpy: a simulator that costs microseconds.

It can be a simulator of another version, one that reads actions otherwise, shows observations late
or in another order: every fault of an environment is a setting of `World`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Radius of the obstacle at the origin, and how far beside it a route passes.
OBSTACLE = 0.2
BESIDE = 0.5
#: Distance to the goal that counts as there.
THERE = 0.15
MAX_STEPS = 50


@dataclass(frozen=True)
class World:
    """How the environment works.

    Attributes:
        gain: distance that an action of 1 moves.
        sign: of the action, per dimension.
        absolute: whether an action is the place to go to, in place of the way to it.
        inertia: part of the velocity that is kept; it is not observed.
        late: steps by which observations come late.
        order: of the observation's entries.
        limit: of the actions.
        drawing: whether a sensor of no use shows another number in every episode; None has none.
        noise: standard deviation of what disturbs the motion, in parts of the gain; no seed of a
            reset decides it.
    """

    gain: float = 0.12
    sign: tuple[float, float] = (1.0, 1.0)
    absolute: bool = False
    inertia: float = 0.0
    late: int = 0
    order: tuple[int, ...] = (0, 1, 2, 3)
    limit: float = 1.0
    drawing: bool | None = None
    noise: float = 0.0


class Point(gymnasium.Env[dict[str, Array], Array]):
    """The environment; `state` is place and goal, `[4]`, or `[5]` with the useless sensor.

    Args:
        world: how it works.
        render_mode: "rgb_array" draws the scene.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, world: World = World(), render_mode: str | None = None) -> None:
        self.world = world
        self.render_mode = render_mode
        size = len(world.order) + (world.drawing is not None)
        self.observation_space = Dict({"state": Box(-np.inf, np.inf, (size,), np.float32)})
        self.action_space = Box(-world.limit, world.limit, (2,), np.float32)
        self.place = np.zeros(2)
        self.velocity = np.zeros(2)
        self.goal = np.zeros(2)
        self.sensor = 0.5
        self.steps = 0
        self._jolts = np.random.default_rng(0)
        self._past: deque[Array] = deque(maxlen=world.late + 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start on the left with a goal on the right."""
        super().reset(seed=seed)
        draw = self.np_random.uniform
        self.place = np.array([draw(-1.0, -0.7), draw(-0.5, 0.5)])
        # Never straight ahead, so that the goal says on which side an expert passes.
        self.goal = np.array([draw(0.7, 1.0), draw(0.15, 0.5) * self.np_random.choice([-1.0, 1.0])])
        self.sensor = draw(0.0, 1.0) if self.world.drawing else 0.5
        self.velocity = np.zeros(2)
        self.steps = 0
        self._past.clear()
        self._past.extend([self._state()] * (self.world.late + 1))
        return self._observation(), self._info()

    def step(self, action: Any) -> Any:
        """Execute an action `[2]`; the obstacle stops the motion."""
        world = self.world
        wish = np.clip(np.asarray(action, float), -world.limit, world.limit) * world.sign
        if world.absolute:
            way = wish - self.place
            wish = way / max(world.gain, float(np.linalg.norm(way)))
        self.velocity = world.inertia * self.velocity + world.gain * wish
        jolt = world.noise * world.gain * self._jolts.normal(size=2)
        place = np.clip(self.place + self.velocity + jolt, -1.3, 1.3)
        if np.linalg.norm(place) < OBSTACLE:
            place = self.place
            self.velocity = np.zeros(2)
        self.place = place
        self.steps += 1
        self._past.append(self._state())
        info = self._info()
        done = bool(info["success"])
        return self._observation(), 0.0, done, self.steps >= MAX_STEPS, info

    def render(self) -> Any:
        """Return the scene as a picture `[64, 64, 3]`."""
        axis = np.linspace(-1.3, 1.3, 64)
        x, y = np.meshgrid(axis, -axis)
        picture = np.full((64, 64, 3), 255, np.uint8)
        shapes = (
            ((0.0, 0.0), OBSTACLE, (90, 90, 90)),
            (tuple(self.goal), 0.1, (40, 160, 90)),
            (tuple(self.place), 0.08, (40, 80, 200)),
        )
        for (cx, cy), radius, colour in shapes:
            picture[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
        return picture

    def _state(self) -> Array:
        state = np.concatenate([self.place, self.goal])[list(self.world.order)]
        if self.world.drawing is None:
            return state
        shown = self.sensor + 5e-4 * self.np_random.normal()
        return np.concatenate([state, [shown]])

    def _observation(self) -> dict[str, Any]:
        return {"state": self._past[0].astype(np.float32)}

    def _info(self) -> dict[str, Any]:
        distance = float(np.linalg.norm(self.place - self.goal))
        return {"success": distance < THERE, "score": max(0.0, 1 - distance / 2)}


def make_point(world: World = World(), **arguments: Any) -> Point:
    """Make the environment; a partial of it is a factory."""
    return Point(world, **arguments)


def factory(world: World) -> Any:
    """Return a factory of the environment."""
    return partial(make_point, world)


def demonstrate(
    world: World, seed: int, *, jitter: float = 0.05, either_side: bool = False
) -> dict[str, Array] | None:
    """Return one demonstration {"state" `[T, D]`, "action" `[T, 2]`}; None where it fails.

    Args:
        world: in which it is made.
        seed: of the start.
        jitter: standard deviation of what is added to every action.
        either_side: pass the obstacle on a side drawn by lot, not on the goal's.
    """
    env = Point(world)
    obs, _ = env.reset(seed=seed)
    rng = np.random.default_rng((seed, 7))
    side = np.sign(env.goal[1])
    if either_side:
        side = rng.choice([-1.0, 1.0])
    states = []
    actions = []
    for _ in range(MAX_STEPS):
        action = _guide(env, float(side)) + jitter * rng.normal(size=2)
        action = np.clip(action, -world.limit, world.limit).astype(np.float32)
        states.append(obs["state"])
        actions.append(action)
        obs, _, done, _, _ = env.step(action)
        if done:
            return {"state": np.stack(states), "action": np.stack(actions)}
    return None


def _guide(env: Point, side: float) -> Array:
    """Return the action of an expert who passes the obstacle on a side, slower near the goal."""
    beside = np.array([0.0, side * BESIDE])
    target = beside if env.place[0] < -0.05 else env.goal
    way = target - env.place
    if env.world.inertia:
        # A spring to the target with a damper that needs the velocity, which nobody observes.
        reach = 4 * way - 6 * env.velocity
        return np.asarray(reach / max(1.0, float(np.abs(reach).max())))
    near = float(np.linalg.norm(env.goal - env.place))
    speed = min(0.9, 0.3 + 0.6 * near)
    return np.asarray(speed * way / max(1e-6, float(np.linalg.norm(way))))

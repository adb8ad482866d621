"""Simulators as strangers write them, for both sides of the bridge: gymnasium and numpy alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text


class Arm(gymnasium.Env):
    """A noisy walk with nested observations of several kinds, and a chatty author."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, *, fails="", render_mode=None, dims=2):
        self.observation_space = Dict(
            {
                "arm": Dict({"position": Box(-9, 9, (dims,), np.float64), "grip": Discrete(3)}),
                "lamps": MultiBinary(4),
                "camera": Box(0, 255, (5, 6, 3), np.uint8),
                "mission": Text(20),
            }
        )
        self.action_space = Box(-1.0, 0.05, (dims,), np.float64)
        self.render_mode = render_mode
        self.fails = fails
        print("a banner", flush=True)
        os.system("echo a banner of a program")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("x" * 100_000)
        if self.fails == "reset":
            raise RuntimeError("the\nmotor is stuck")
        self.steps = 0
        self.position = self.np_random.normal(size=self.action_space.shape)
        return self.observe(), {"nested": {"depth": np.float32(0.1)}}

    def step(self, action):
        print("step", file=sys.stdout)
        if self.steps == 2:
            self.fail()
        assert action.dtype == np.float64
        self.steps += 1
        self.position = self.position + action + 0.01 * self.np_random.normal(size=action.shape)
        near = float(-np.abs(self.position).sum())
        info = {"near": near, "object": object(), "nan": float("nan"), "odd": np.array([True])}
        return self.observe(), near, near > -0.2, False, info

    def observe(self):
        lamps = (self.position[0] > np.arange(4)).astype(np.int8)
        camera = np.full((5, 6, 3), self.steps, np.uint8)
        arm = {"position": self.position, "grip": self.steps % 3}
        return {"arm": arm, "lamps": lamps, "camera": camera, "mission": "go"}

    def render(self):
        return np.full((4, 4, 3), self.steps, np.uint8)

    def fail(self):
        if self.fails == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails == "exit":
            sys.exit("enough")
        if self.fails == "os._exit":
            print("no licence", file=sys.stderr, flush=True)
            os._exit(3)
        if self.fails == "hang":
            time.sleep(1000)
        if self.fails == "raise":
            raise ValueError("a fault\nof two lines")
        if self.fails == "garbage":
            os.write(1, b"\xff" * 1000)


def arm(**kwargs):
    """Make it."""
    return Arm(**kwargs)


def picky(size=2):
    """Make one whose arguments are few."""
    return Arm(dims=size)


def parent_of_many(pids):
    """Make one that starts a process of its own and writes its number."""
    process = subprocess.Popen(["sleep", "1000"])
    Path(pids).write_text(f"{os.getpid()} {process.pid}")
    return Arm()


def register():
    """Do what has to be done before the environment is known."""
    gymnasium.register("strange/Arm-v0", Arm, max_episode_steps=7)


def not_callable_module():
    """Fail for a reason of its own."""
    raise RuntimeError("no display")

"""One episode: how it goes, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from ..errors import EnvError

Observation = dict[str, NDArray[Any]]
Actions = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Recording:
    """What is kept of each episode besides its outcome.

    Attributes:
        trajectories: keep observations and actions, as `obs` and `action` of the result.
        frame_stride: keep a picture every so many steps, and the last; 0 keeps none. The
            environments must have been made with render_mode="rgb_array".
    """

    trajectories: bool = False
    frame_stride: int = 0


@dataclass(frozen=True)
class EpisodeResult:
    """The outcome of one episode of length T.

    Attributes:
        seed: of the environment's reset, and the episode's name.
        success: whether the environment reported success at any step.
        score: the largest score of any step, in [0, 1].
        length: control steps, T.
        return_: sum of the rewards.
        clipped: steps in which the environment brought an action within its limits.
        obs: key -> `[T, ...]`, the observation before each action; None unless recorded.
        action: `[T, Da]`, the actor's own action, before any perturbation; None unless recorded.
        frames: uint8 `[n, h, w, 3]`; None unless recorded.
        report: what the actor had to say of the episode, if it is a `Reporter`.
    """

    seed: int
    success: bool
    score: float
    length: int
    return_: float
    clipped: int = 0
    obs: Observation | None = None
    action: Actions | None = None
    frames: NDArray[np.uint8] | None = None
    report: Mapping[str, float] | None = None


class Episode:
    """One episode under way in an environment; starting it resets the environment.

    Args:
        env: has dict observations, and `success` and `score` in its info.
        seed: of the reset.
        record: what to keep.
        max_steps: ends the episode earlier than the environment would.

    Attributes:
        obs: the present observation, key -> `[...]`; never written to again.
        length: control steps so far.
        ended: whether the episode is over.
    """

    def __init__(
        self, env: Env[Any, Any], seed: int, *, record: Recording, max_steps: int | None
    ) -> None:
        self.seed = seed
        self.length = 0
        self.ended = False
        self._env = env
        self._record = record
        self._max_steps = max_steps
        self._success = False
        self._score = 0.0
        self._return = 0.0
        self._clipped = 0
        self._observations: list[Observation] = []
        self._actions: list[Actions] = []
        self._frames: list[NDArray[np.uint8]] = []

        self.obs, info = env.reset(seed=seed)
        self._judge(info)
        self._keep_frame()

    def step(self, action: Actions, executed: Actions) -> None:
        """Execute `executed` `[Da]` and keep `action` `[Da]` as the one that was chosen."""
        if self._record.trajectories:
            self._observations.append(self.obs)
            self._actions.append(np.array(action))

        self.obs, reward, terminated, truncated, info = self._env.step(executed)
        self.length += 1
        self._return += float(reward)
        self._clipped += bool(info.get("action_clipped", False))
        self._judge(info)

        out_of_time = self._max_steps is not None and self.length >= self._max_steps
        self.ended = terminated or truncated or out_of_time
        self._keep_frame()

    def result(self) -> EpisodeResult:
        """Return the outcome; call it once the episode has ended."""
        obs = None
        action = None
        if self._record.trajectories:
            keys = self._observations[0]
            obs = {key: np.stack([step[key] for step in self._observations]) for key in keys}
            action = np.stack(self._actions)
        return EpisodeResult(
            seed=self.seed,
            success=self._success,
            score=self._score,
            length=self.length,
            return_=self._return,
            clipped=self._clipped,
            obs=obs,
            action=action,
            frames=np.stack(self._frames) if self._frames else None,
        )

    def _judge(self, info: dict[str, Any]) -> None:
        if "success" not in info or "score" not in info:
            raise EnvError(
                "an environment's info must hold `success` and `score`; make environments of "
                "others with kinoise.envs.make_env, which sees to it"
            )
        self._success |= bool(info["success"])
        self._score = max(self._score, float(info["score"]))

    def _keep_frame(self) -> None:
        stride = self._record.frame_stride
        if stride == 0 or (self.length % stride and not self.ended):
            return
        frame = self._env.render()
        if not isinstance(frame, np.ndarray):
            raise EnvError('frames need an environment made with render_mode="rgb_array"')
        self._frames.append(frame)

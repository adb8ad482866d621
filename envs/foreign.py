"""Other people's gymnasium environments, as rollouts want them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from .errors import EnvError

Observation = dict[str, NDArray[Any]]

SUCCESS_KEYS = ("success", "is_success")
"""Entries of `info` that mean success, in the order they are looked for."""
SUCCESS_RULES = ("info", "terminated")


class ForeignEnv(gymnasium.Wrapper[Observation, NDArray[Any], Any, Any]):
    """Gives any environment dict observations and an `info` with `success` and `score`.

    A `Box` observation becomes {"state": ...}; numbers of double precision become single.
    Actions are clipped to their limits. The score is that of `info`, else 1 at success and 0
    before it.

    Args:
        env: an environment with a `Box` action and a `Box` or flat `Dict` observation.
        success: "info" (also None) reads `info["success"]` or `info["is_success"]`; "terminated"
            takes every end but a time-out for success.

    Raises:
        EnvError: other spaces, or another word for `success`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], *, success: str | None = None) -> None:
        super().__init__(env)
        if success not in (None, *SUCCESS_RULES):
            raise EnvError(f"success is one of {', '.join(SUCCESS_RULES)}; got {success!r}")
        self._name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self._ends_in_success = success == "terminated"
        self._reported = False
        self._is_flat = isinstance(env.observation_space, Box)
        self.observation_space = _observation_space(env.observation_space, self._name)
        if not isinstance(env.action_space, Box):
            raise EnvError(f"{self._name} has actions in {env.action_space}; only a Box will do")
        self._low = env.action_space.low
        self._high = env.action_space.high

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._reported = False
        return self._observation(obs), self._outcome(info, terminated=False)

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute an action `[Da]`.

        Raises:
            EnvError: the episode ended and never said whether it was a success.
        """
        clipped = np.asarray(action).clip(self._low, self._high).astype(self._low.dtype)
        obs, reward, terminated, truncated, info = self.env.step(clipped)
        info = self._outcome(info, terminated=bool(terminated))
        if (terminated or truncated) and not self._reported:
            raise EnvError(
                f"{self._name} has neither `success` nor `is_success` in its info; say "
                "task.success=terminated if every end but a time-out is one"
            )
        return self._observation(obs), float(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """Return a picture, as the environment draws it.

        Raises:
            EnvError: what it draws with is not installed.
        """
        try:
            return self.env.render()
        except gymnasium.error.Error as error:
            reason = " ".join(str(error).split())
            raise EnvError(f"{self._name} cannot draw itself: {reason}") from error

    def _observation(self, obs: Any) -> Observation:
        values = {"state": obs} if self._is_flat else obs
        # Copies: some environments write every observation into the same memory.
        return {key: np.array(value, _single(value.dtype)) for key, value in values.items()}

    def _outcome(self, info: dict[str, Any], *, terminated: bool) -> dict[str, Any]:
        found = [key for key in SUCCESS_KEYS if key in info]
        self._reported |= self._ends_in_success or bool(found)
        success = terminated if self._ends_in_success else bool(found and info[found[0]])
        score = float(info.get("score", success))
        if not 0.0 <= score <= 1.0:
            raise EnvError(f"{self._name} has a score of {score:g} in its info; scores are 0 to 1")
        return {**info, "success": success, "score": score}


def _observation_space(space: Space[Any], name: str) -> Space[Any]:
    """Return the space with a name for every vector and in single precision."""
    entries = space.spaces if isinstance(space, Dict) else {"state": space}
    boxes: dict[str, Space[Any]] = {}
    for key, entry in entries.items():
        if not isinstance(entry, Box):
            raise EnvError(
                f"{name} observes {key!r} in {type(entry).__name__}; only a Box or a flat Dict of "
                "Boxes will do (see gymnasium.wrappers.FlattenObservation)"
            )
        dtype = _single(entry.dtype)
        boxes[key] = Box(entry.low.astype(dtype), entry.high.astype(dtype), dtype=dtype.type)
    return Dict(boxes)


def _single(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype == np.float64 else dtype)

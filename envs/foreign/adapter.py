"""An environment of others in the form that rollouts want."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from ..bridge.child import flatten, leaves_of
from ..errors import EnvError
from .connection import Connection
from .matching import match_observations
from .success import Outcome, read_rule

Observation = dict[str, NDArray[Any]]

STEPS_WITHOUT_LIMIT = 1000
"""Of an episode in an environment that knows no time limit."""
BOUNDS = ("clip", "refuse")


class ForeignEnv(gymnasium.Wrapper[Observation, NDArray[Any], Any, Any]):
    """Gives any environment dict observations and an `info` with `success` and `score`.

    Parts of observations are named by a dot, `arm.position`; an observation without a name is
    "state". All numbers but those of pictures become float32. Actions become what the environment
    takes; `info["action_clipped"]` says whether one had to be brought within the limits. The score
    is that of `info`, else 1 at success and 0 before it.

    Args:
        env: with a `Box` action; observations of `Box`, `Discrete`, `MultiBinary`,
            `MultiDiscrete`, and `Dict` and `Tuple` of these. What is no number is left out.
        connection: what is expected of it.
        success: short for a connection of nothing else.

    Attributes:
        notes: what was matched by more than its name, one line each.

    Raises:
        EnvError: other spaces, another rule of success, or not what a policy expects.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        connection: Connection | None = None,
        *,
        success: str | None = None,
    ) -> None:
        super().__init__(env)
        connection = connection or Connection(success=success)
        if connection.bounds not in BOUNDS:
            raise EnvError(f"action_bounds is clip or refuse, not {connection.bounds!r}")
        self._name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self._rule = read_rule(connection.success)
        self._success = connection.success
        self._refuses = connection.bounds == "refuse"
        self.notes: list[str] = []
        self._observe(env, connection)
        self._act(env, connection)
        self._limit = self._time_limit(env, connection)
        self._steps = 0
        self._return = 0.0
        self._reported = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._return = 0.0
        self._reported = False
        return self._observation(obs), self._judged(Outcome(info))

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute an action `[Da]`.

        Raises:
            EnvError: the action is out of bounds and they are not to be clipped, or the episode
                ended and never said whether it was a success.
        """
        executed, clipped = self._within(action)
        obs, reward, terminated, truncated, info = self.env.step(executed)
        self._steps += 1
        self._return += float(reward)
        truncated = bool(truncated) or (self._limit is not None and self._steps >= self._limit)
        outcome = Outcome(
            info,
            reward=float(reward),
            return_=self._return,
            steps=self._steps,
            terminated=bool(terminated),
            truncated=truncated,
        )
        info = {**self._judged(outcome), "action_clipped": clipped}
        if (terminated or truncated) and not self._reported:
            raise EnvError(self._unreported(info))
        return self._observation(obs), float(reward), bool(terminated), truncated, info

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

    def _observe(self, env: gymnasium.Env[Any, Any], connection: Connection) -> None:
        """Match the observations to those that are expected."""
        leaves = {leaf["name"]: leaf for leaf in leaves_of(env.observation_space)}
        shapes = {name: leaf["shape"] for name, leaf in leaves.items() if leaf["shape"] is not None}
        if not shapes:
            raise EnvError(
                f"{self._name} observes {env.observation_space}; only a Box will do, a Discrete, "
                "a MultiBinary or MultiDiscrete, or a Dict of these"
            )
        self._matches, notes = match_observations(
            shapes, connection.observes, connection.rename, self._name
        )
        self.notes += notes
        spaces: dict[str, Space[Any]] = {}
        with np.errstate(over="ignore"):
            for key, match in self._matches.items():
                low, high = (_single(leaves[match.source][end]) for end in ("low", "high"))
                spaces[key] = Box(match.arrange(low), match.arrange(high), dtype=low.dtype.type)
        self.observation_space: Space[Any] = Dict(spaces)

    def _act(self, env: gymnasium.Env[Any, Any], connection: Connection) -> None:
        """Hold the action to what is expected."""
        space = env.action_space
        if not isinstance(space, Box):
            raise EnvError(f"{self._name} has actions in {space}; only a Box will do")
        size = int(np.prod(space.shape))
        if connection.action_dim not in (None, size):
            raise EnvError(
                f"the policy acts in {connection.action_dim} numbers, {self._name} takes {size}; "
                "was it trained on data of this environment?"
            )
        self._inner = space
        self.action_space = Box(space.low.ravel(), space.high.ravel(), dtype=space.dtype.type)
        # A limit of 0.05 is another number in single precision.
        self._slack = 1e-6 * np.maximum(1.0, np.maximum(abs(space.low), abs(space.high)))

    def _time_limit(self, env: gymnasium.Env[Any, Any], connection: Connection) -> int | None:
        if connection.max_steps is not None:
            return connection.max_steps
        if env.spec is not None and env.spec.max_episode_steps is not None:
            return None
        self.notes.append(
            f"{self._name} knows no time limit: its episodes end after {STEPS_WITHOUT_LIMIT} "
            "steps; max_steps=N says otherwise"
        )
        return STEPS_WITHOUT_LIMIT

    def _within(self, action: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Return the action as the environment takes it, and whether it had to be clipped."""
        space = self._inner
        action = np.asarray(action).reshape(space.shape)
        beyond = (action < space.low - self._slack) | (action > space.high + self._slack)
        clipped = bool(beyond.any())
        if clipped and self._refuses:
            worst = int(np.argmax(beyond))
            raise EnvError(
                f"the action's number {worst} is {action.flat[worst]:.4g}, {self._name} takes "
                f"{space.low.flat[worst]:.4g} to {space.high.flat[worst]:.4g}; action_bounds=clip "
                "brings it within"
            )
        kept = action.clip(space.low, space.high)
        if np.issubdtype(space.dtype, np.integer):
            kept = np.rint(kept)
        return kept.astype(space.dtype), clipped

    def _observation(self, obs: Any) -> Observation:
        flat = flatten(obs)
        found = {}
        for key, match in self._matches.items():
            if match.source not in flat:
                raise EnvError(f"{self._name} gave no {match.source or 'observation'!r}")
            # Copies: some environments write every observation into the same memory.
            value = np.array(_single(flat[match.source]))
            found[key] = match.arrange(value)
            if found[key].shape != match.shape:
                raise EnvError(
                    f"{self._name} gave {key!r} of shape {value.shape}; its observation space says "
                    f"{match.shape}"
                )
        return found

    def _judged(self, outcome: Outcome) -> dict[str, Any]:
        """Return the info with `success` and `score`."""
        holds = self._rule.holds(outcome)
        self._reported |= holds is not None
        score = float(outcome.info.get("score", bool(holds)))
        if not 0.0 <= score <= 1.0:
            raise EnvError(f"{self._name} has a score of {score:g} in its info; scores are 0 to 1")
        return {**outcome.info, "success": bool(holds), "score": score}

    def _unreported(self, info: dict[str, Any]) -> str:
        own = [key for key in info if key not in ("success", "score", "action_clipped")]
        held = f" (it has {', '.join(map(str, own))[:200]})" if own else ""
        if self._success not in (None, "info"):
            return (
                f"{self._name} never had what success={self._success!r} asks for in its info{held}"
            )
        return (
            f"{self._name} has neither `success` nor `is_success` in its info{held}; say "
            "success=terminated if every end but a time-out is one, or give a rule such as "
            "success='reward>=0.95'"
        )


def _single(value: Any) -> NDArray[Any]:
    """Return numbers as a policy takes them: pictures as they are, all else in single precision."""
    array = np.asarray(value)
    return array if array.dtype == np.uint8 and array.ndim == 3 else array.astype(np.float32)

"""An environment of another Python as a gymnasium environment of this one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from ..errors import EnvError
from . import child
from .process import Arrays, SimulatorProcess


class Opaque(Space[Any]):
    """A space whose values are no numbers; they stay on the other side."""

    def __init__(self, kind: str) -> None:
        super().__init__(None, None)
        self.kind = kind

    def __repr__(self) -> str:
        return self.kind


class BridgeEnv(gymnasium.Env[Any, NDArray[Any]]):
    """An environment in a process of its own, with the packages that it needs.

    Observations come with their parts by name (`arm.position`, see `child.leaves_of`); of `info`
    the numbers, truth values and texts cross.

    Args:
        python: the interpreter of its installation.
        address: see `child.open_env`.
        kwargs: arguments of the environment, of JSON's types.
        setup: functions to call before, see `child.open_env`.
        max_steps: a time limit in place of the registered one.
        timeout: seconds that a step may take; starting may take ten times as long.

    Raises:
        EnvError: the process cannot start, or the environment cannot be made in it.
    """

    def __init__(
        self,
        python: str | Path,
        address: str,
        kwargs: Mapping[str, Any],
        *,
        setup: str | None = None,
        max_steps: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.process = SimulatorProcess(python, timeout=timeout)
        try:
            answer, limits = self.process.ask(
                "open", address=address, kwargs=dict(kwargs), setup=setup, max_steps=max_steps
            )
            self._describe(answer, limits)
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            self.process.kill()
            raise EnvError(f"the simulator {python} does not describe itself: {error}") from error
        except BaseException:
            self.process.kill()
            raise
        self.render_mode = kwargs.get("render_mode")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        answer, arrays = self.process.ask("reset", seed=seed, options=options)
        return self._observation(answer, arrays), dict(answer["info"])

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Execute an action."""
        answer, arrays = self.process.ask("step", [np.asarray(action)])
        reward, terminated, truncated = answer["outcome"]
        obs = self._observation(answer, arrays)
        return obs, float(reward), bool(terminated), bool(truncated), dict(answer["info"])

    def render(self) -> Any:
        """Return a picture; None where the environment draws none."""
        _, pictures = self.process.ask("render")
        return pictures[0] if pictures else None

    def close(self) -> None:
        """End the process."""
        self.process.close()

    def _describe(self, answer: Mapping[str, Any], limits: Arrays) -> None:
        ends = iter(limits)
        self.process.name = str(answer["name"])
        self.observation_space = _space(answer["observed"], ends, child.NUMERIC)
        self.action_space = _space(answer["acted"], ends, ("Box",))
        self.metadata = {"render_fps": answer["render_fps"], "render_modes": ["rgb_array"]}
        known = SimpleNamespace(id=self.process.name, max_episode_steps=answer["max_steps"])
        self.spec = known  # type: ignore[assignment]

    def _observation(self, answer: Mapping[str, Any], arrays: Arrays) -> Any:
        named = dict(zip(answer["obs"], arrays, strict=True))
        return named.get("", named)


def _space(leaves: list[Any], ends: Iterator[NDArray[Any]], kinds: Container[str]) -> Space[Any]:
    """Return the space that `child.leaves_of` gave the parts of, those of other kinds opaque."""
    spaces: dict[str, Space[Any]] = {}
    for name, kind, shape in leaves:
        if shape is not None:
            low = next(ends)
            spaces[name] = Box(low, next(ends), dtype=low.dtype.type)
        if shape is None or kind not in kinds:
            spaces[name] = Opaque(str(kind))
    return spaces[""] if list(spaces) == [""] else Dict(spaces)

"""The receding-horizon controller: executes Ta actions of a chunk, then asks for a new one.

It owns what a policy does not: the observation history, the chunk in execution and the noise of
each episode. The same object drives one robot or many simulated ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..diffusion_policy import DiffusionPolicy
from ..errors import PolicyError
from .threads import torch_threads


class Sample(Protocol):
    """What the controller asks for chunks, e.g. `policy.sample`."""

    def __call__(
        self,
        obs: Mapping[str, Tensor],
        generator: Sequence[torch.Generator],
        *,
        previous: Tensor | None,
    ) -> Tensor:
        """Map obs `[B, To, ...]`, one generator a row, to chunks `[B, H, Da]`.

        `previous` `[B, H, Da]` holds the chunks planned before; NaN where an episode begins.
        """


Array = npt.NDArray[np.generic]


@dataclass
class _Stream:
    """One episode's memory."""

    generator: torch.Generator
    history: deque[Mapping[str, Array]]
    actions: deque[npt.NDArray[np.float32]] = field(default_factory=deque)
    chunk: npt.NDArray[np.float32] | None = None


class RecedingHorizonController:
    """Turns observations into actions for any number of concurrent episodes.

    Args:
        sample: maps observation windows to chunks, e.g. `policy.sample`.
        n_obs_steps: To; at an episode's start the first observation stands in for earlier ones.
        n_action_steps: Ta, actions executed of each chunk.
        batch_size: rows of every call of `sample`; short batches are filled by repetition. Since a
            matmul's rounding depends on its shape, a fixed one makes each episode's actions
            independent of how many others run beside it.
        n_threads: CPU threads of torch while `sample` runs, and only then. Since a matmul's
            rounding depends on them too, a fixed number makes the actions reproducible.

    Attributes:
        latencies: seconds of the latest calls of `sample`.
    """

    def __init__(
        self,
        sample: Sample,
        n_obs_steps: int,
        n_action_steps: int,
        *,
        batch_size: int = 1,
        n_threads: int = 1,
    ) -> None:
        self.n_obs_steps = n_obs_steps
        self.n_action_steps = n_action_steps
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.latencies: deque[float] = deque(maxlen=100_000)
        self._sample = sample
        self._streams: dict[int, _Stream] = {}

    @classmethod
    def of(cls, policy: DiffusionPolicy, *, batch_size: int = 1) -> RecedingHorizonController:
        """Return the controller of a policy, with the policy's own To and Ta."""
        return cls(policy.sample, policy.n_obs_steps, policy.n_action_steps, batch_size=batch_size)

    def __call__(
        self,
        observations: Sequence[Mapping[str, Array]],
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> npt.NDArray[np.float32]:
        """Return the actions `[n, Da]` to execute now.

        Args:
            observations: of each running episode, key -> `[...]`; kept, and not copied.
            seeds: of each episode; names it and seeds its noise.
            steps: of each episode; 0 starts it afresh.

        Raises:
            PolicyError: the policy's actions are not finite.
        """
        running = set(seeds)
        self._streams = {seed: s for seed, s in self._streams.items() if seed in running}
        for observation, seed, step in zip(observations, seeds, steps, strict=True):
            self._observe(seed, observation, fresh=step == 0)

        hungry = [seed for seed in seeds if not self._streams[seed].actions]
        for start in range(0, len(hungry), self.batch_size):
            self._replan(hungry[start : start + self.batch_size])
        return np.stack([self._streams[seed].actions.popleft() for seed in seeds])

    def _observe(self, seed: int, observation: Mapping[str, Array], *, fresh: bool) -> None:
        if fresh or seed not in self._streams:
            generator = torch.Generator().manual_seed(seed)
            history = deque([observation] * self.n_obs_steps, maxlen=self.n_obs_steps)
            self._streams[seed] = _Stream(generator, history)
        else:
            self._streams[seed].history.append(observation)

    def _replan(self, seeds: list[int]) -> None:
        streams = [self._streams[seed] for seed in seeds]
        # Filling rows get a generator of their own: they must not advance an episode's noise.
        fill = self.batch_size - len(streams)
        windows = [stream.history for stream in streams] + [streams[0].history] * fill
        generators = [stream.generator for stream in streams]
        generators += [torch.Generator().manual_seed(0) for _ in range(fill)]
        obs = {key: _stacked(windows, key) for key in windows[0][0]}
        previous = self._previous(streams)

        started = time.perf_counter()
        with torch_threads(self.n_threads):
            chunks = self._sample(obs, generators, previous=previous).numpy(force=True)
        self.latencies.append(time.perf_counter() - started)

        if not np.isfinite(chunks).all():
            raise PolicyError(
                "the policy returned actions that are not finite; "
                "check the observations and the checkpoint"
            )

        first = self.n_obs_steps - 1
        for stream, chunk in zip(streams, chunks, strict=False):
            stream.actions.extend(chunk[first : first + self.n_action_steps])
            stream.chunk = chunk

    def _previous(self, streams: Sequence[_Stream]) -> Tensor | None:
        """Return the chunks in execution `[B, H, Da]`, NaN where there is none."""
        known = [stream.chunk for stream in streams if stream.chunk is not None]
        if not known:
            return None
        none = np.full_like(known[0], np.nan)
        rows = [none if stream.chunk is None else stream.chunk for stream in streams]
        rows += [none] * (self.batch_size - len(streams))
        return torch.from_numpy(np.stack(rows))


def _stacked(windows: Sequence[deque[Mapping[str, Array]]], key: str) -> Tensor:
    return torch.from_numpy(np.stack([[frame[key] for frame in window] for window in windows]))

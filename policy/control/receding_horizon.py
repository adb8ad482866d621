"""The receding-horizon controller: executes Ta actions, then asks for a new chunk.

It owns what a policy does not: the observation history, the chunks in execution and the noise of
each episode. Which actions the chunks give is its `Execution`'s to say. The same object drives one
robot or many simulated ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..diffusion_policy import DiffusionPolicy
from ..encoders.encoder import Observations
from ..errors import PolicyError
from . import plan_consistency
from .execution import ChunkSource, Execution, RecedingHorizon, check_overlap
from .plan_consistency import Replan
from .threads import torch_threads

#: Any array of numbers.
Array = npt.NDArray[np.generic]
#: A chunk `[H, Da]` in the data's units.
Chunk = npt.NDArray[np.float32]

#: Keeps the noise of plans that are only compared apart from the episodes' own.
_STREAM = 0x5EED


@dataclass
class _Stream:
    """One episode's memory.

    Attributes:
        seed: names the episode.
        generator: the source of the episode's noise.
        history: its latest To observations.
        actions: those that are still to be executed, `[Da]` each.
        chunks: those that reach to the present step or further `[H, Da]`, the newest last.
        replans: how its plans agreed, where that is measured.
    """

    seed: int
    generator: torch.Generator
    history: deque[Mapping[str, Array]]
    actions: deque[npt.NDArray[np.float32]] = field(default_factory=deque)
    chunks: list[Chunk] = field(default_factory=list)
    replans: list[Replan] = field(default_factory=list)


@dataclass(frozen=True)
class _Batch:
    """What `sample` is called with: `n_rows` rows of each episode, then those that fill up."""

    obs: Observations
    generators: Sequence[torch.Generator]
    previous: Float[Tensor, "B H Da"] | None
    n_rows: int


class RecedingHorizonController:
    """Turns observations into actions for any number of concurrent episodes.

    Args:
        sample: maps observation windows to chunks, e.g. `policy.sample`.
        n_obs_steps: To; at an episode's start the first observation stands in for earlier ones.
        n_action_steps: Ta, actions executed before the next chunk is planned.
        batch_size: episodes of every call of `sample`; short batches are filled by repetition.
            Since a matmul's rounding depends on its shape, a fixed one makes each episode's actions
            independent of how many others run beside it.
        n_threads: CPU threads of torch while `sample` runs, and only then. Since a matmul's
            rounding depends on them too, a fixed number makes the actions reproducible.
        execution: how chunks become actions; None for `RecedingHorizon`.
        scale: size of the normalised actions' unit `[Da]`, for distances between plans.
        compare_with: draws the plans that tell how well successive ones agree (see
            `plan_consistency`); None leaves that unmeasured. The actions are the same with it.

    Attributes:
        latencies: seconds of the latest calls of `sample`.
    """

    def __init__(
        self,
        sample: ChunkSource,
        n_obs_steps: int,
        n_action_steps: int,
        *,
        batch_size: int = 1,
        n_threads: int = 1,
        execution: Execution | None = None,
        scale: Float[np.ndarray, "Da"] | float = 1.0,
        compare_with: ChunkSource | None = None,
    ) -> None:
        self.n_obs_steps = n_obs_steps
        self.n_action_steps = n_action_steps
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.execution = execution or RecedingHorizon()
        self.latencies: deque[float] = deque(maxlen=100_000)
        self._sample = sample
        self._compare_with = compare_with
        self._scale = np.where(np.asarray(scale) > 0, scale, np.inf)
        self._streams: dict[int, _Stream] = {}

    @classmethod
    def from_policy(
        cls, policy: DiffusionPolicy, *, batch_size: int = 1, compare_plans: bool = False
    ) -> RecedingHorizonController:
        """Return the controller of a policy, with the policy's own To, Ta and execution.

        Raises:
            PolicyError: the execution does not fit the policy, or plans cannot be compared.
        """
        if compare_plans:
            check_overlap(policy, "a comparison of plans")
        return cls(
            policy.execution.source(policy),
            policy.n_obs_steps,
            policy.n_action_steps,
            batch_size=batch_size,
            execution=policy.execution,
            scale=policy.border.spread.numpy(force=True),
            compare_with=policy.sample if compare_plans else None,
        )

    def __call__(
        self,
        observations: Sequence[Mapping[str, Array]],
        seeds: Sequence[int],
        steps: Sequence[int],
    ) -> Float[np.ndarray, "n Da"]:
        """Return the actions to execute now.

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

        hungry = [stream for seed in seeds if not (stream := self._streams[seed]).actions]
        for start in range(0, len(hungry), self.batch_size):
            self._replan(hungry[start : start + self.batch_size])

        return np.stack([self._streams[seed].actions.popleft() for seed in seeds])

    def report(self, seed: int) -> dict[str, float] | None:
        """Return how well the plans of a running episode agree; None where that is unmeasured."""
        if self._compare_with is None or seed not in self._streams:
            return None
        return plan_consistency.summary(self._streams[seed].replans)

    def _observe(self, seed: int, observation: Mapping[str, Array], *, fresh: bool) -> None:
        """Add an observation to an episode's history, which a fresh episode fills with it."""
        if fresh or seed not in self._streams:
            generator = torch.Generator().manual_seed(seed)
            history = deque([observation] * self.n_obs_steps, maxlen=self.n_obs_steps)
            self._streams[seed] = _Stream(seed, generator, history)
        else:
            self._streams[seed].history.append(observation)

    def _replan(self, streams: list[_Stream]) -> None:
        """Plan anew for each of at most `batch_size` episodes."""
        generators = [stream.generator for stream in streams]
        batch = self._batch(streams, generators, self.execution.n_rows)

        started = time.perf_counter()
        candidates = self._draw(self._sample, batch)
        self.latencies.append(time.perf_counter() - started)

        chunks = [self._chosen(*each) for each in zip(streams, candidates, strict=False)]
        if self._compare_with is not None:
            self._compare(streams, chunks)
        for stream, chunk in zip(streams, chunks, strict=True):
            self._take_up(stream, chunk)

    def _chosen(self, stream: _Stream, candidates: Float[np.ndarray, "K H Da"]) -> Chunk:
        """Return the candidate that is to be executed."""
        plans = candidates[:, self.n_obs_steps - 1 :] / self._scale
        chosen: Chunk = candidates[self.execution.choose(plans, self._rest(stream))]
        return chosen

    def _rest(self, stream: _Stream) -> Float[np.ndarray, "overlap Da"] | None:
        """Return what an episode's latest chunk says of the steps from now on, normalised."""
        if not stream.chunks:
            return None
        return stream.chunks[-1][self.n_obs_steps - 1 + self.n_action_steps :] / self._scale

    def _take_up(self, stream: _Stream, chunk: Chunk) -> None:
        """Make a chunk an episode's newest, and its next actions of it."""
        first = self.n_obs_steps - 1
        n_reaching = 1 + (len(chunk) - 1 - first) // self.n_action_steps
        stream.chunks = [*stream.chunks, chunk][-n_reaching:]
        stream.actions.extend(self.execution.actions(stream.chunks, first, self.n_action_steps))

    def _compare(self, streams: list[_Stream], chunks: list[Chunk]) -> None:
        """Note how the new chunks agree with what is left of those before."""
        assert self._compare_with is not None
        generators = [
            torch.Generator().manual_seed(_noise_seed(stream.seed, len(stream.replans)))
            for stream in streams
        ]
        batch = self._batch(streams, generators, plan_consistency.N_PLANS)
        drawn = self._draw(self._compare_with, batch)
        for stream, chunk, fresh in zip(streams, chunks, drawn, strict=False):
            rest = self._rest(stream)
            if rest is not None:
                now = slice(self.n_obs_steps - 1, self.n_obs_steps - 1 + len(rest))
                plans = [part / self._scale for part in (chunk[now], fresh[:, now])]
                stream.replans.append(plan_consistency.compare(plans[0], rest, plans[1]))

    def _batch(
        self, streams: Sequence[_Stream], generators: Sequence[torch.Generator], n_rows: int
    ) -> _Batch:
        """Return a batch with `n_rows` rows of each of at most `batch_size` episodes."""
        # Filling rows get a generator of their own: they must not advance an episode's noise.
        fill = self.batch_size - len(streams)
        filled = [*streams, *[streams[0]] * fill]
        sources = [*generators, *(torch.Generator().manual_seed(0) for _ in range(fill))]

        windows = [stream.history for stream in filled]
        obs = {key: _stacked(windows, key) for key in windows[0][0]}
        previous = _previous(filled)
        if n_rows > 1:
            obs = {key: value.repeat_interleave(n_rows, 0) for key, value in obs.items()}
            previous = None if previous is None else previous.repeat_interleave(n_rows, 0)

        rows = [source for source in sources for _ in range(n_rows)]
        return _Batch(obs, rows, previous, n_rows)

    def _draw(self, source: ChunkSource, batch: _Batch) -> Float[np.ndarray, "B n_rows H Da"]:
        """Return the chunks of a batch, by one call of the network."""
        with torch_threads(self.n_threads):
            chunks = source(batch.obs, batch.generators, previous=batch.previous)
            found = chunks.numpy(force=True)
        if not np.isfinite(found).all():
            raise PolicyError(
                "the policy returned actions that are not finite; "
                "check the observations and the checkpoint"
            )
        return found.reshape(-1, batch.n_rows, *found.shape[1:])


def _noise_seed(seed: int, replan: int) -> int:
    """Return the seed of the plans that are only compared."""
    state = np.random.SeedSequence((seed, replan, _STREAM)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _previous(streams: Sequence[_Stream]) -> Float[Tensor, "B H Da"] | None:
    """Return the chunks in execution, NaN where an episode has none; None without any."""
    known = [stream.chunks[-1] for stream in streams if stream.chunks]
    if not known:
        return None

    none = np.full_like(known[0], np.nan)
    rows = [stream.chunks[-1] if stream.chunks else none for stream in streams]
    return torch.from_numpy(np.stack(rows))


def _stacked(windows: Sequence[deque[Mapping[str, Array]]], key: str) -> Shaped[Tensor, "B To ..."]:
    """Return one key of the windows as a tensor."""
    return torch.from_numpy(np.stack([[frame[key] for frame in window] for window in windows]))

"""One process's share of a rollout: environments that step together.

Environments start together and step together; one that ends leaves the batch. (A freed place is
not refilled at once: actors that plan for several steps then plan for all environments in the same
call, which is far cheaper than one call per environment.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from .errors import EnvError

Observation = dict[str, NDArray[Any]]
Actions = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


class Actor(Protocol):
    """What a rollout calls: a policy, an expert, a person."""

    def __call__(self, obs: Observation, episode_seeds: Integers, steps: Integers) -> Actions:
        """Return one action per running environment, [n, Da].

        obs: key -> [n, ...]; episode_seeds [n]; steps [n], the control steps each episode has
        behind it (0 marks a new episode). State of an episode is kept under its seed.
        """
        ...


Perturbation = Callable[[Actions, Integers, Integers], Actions]
"""(actions [n, Da], episode_seeds [n], steps [n]) -> the actions executed in their place."""


@dataclass(frozen=True)
class Recording:
    """What is kept of each episode besides its outcome.

    trajectories: observations and actions, as `obs` and `action` of the result.
    frame_stride: keep a picture every so many steps, and the last; 0 keeps none. The environments
        must have been made with render_mode="rgb_array".
    """

    trajectories: bool = False
    frame_stride: int = 0


@dataclass(frozen=True)
class EpisodeResult:
    """The outcome of one episode of length T.

    success: whether the environment reported success at any step.
    score: the largest score of any step, in [0, 1].
    obs, action: key -> [T, ...] and [T, Da], observation and the actor's own action at the same
        time (before any perturbation); None unless recorded.
    frames: uint8 [n, h, w, 3]; None unless recorded.
    """

    seed: int
    success: bool
    score: float
    length: int
    return_: float
    obs: Observation | None = None
    action: Actions | None = None
    frames: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class RolloutOptions:
    """How episodes are run; crosses to worker processes."""

    n_envs: int = 16
    max_steps: int | None = None
    record: Recording = field(default_factory=Recording)
    perturb: Perturbation | None = None


def run_episodes(
    make_env: Callable[[], Env[Any, Any]],
    make_actor: Callable[[], Actor],
    seeds: Sequence[int],
    options: RolloutOptions,
) -> Iterator[EpisodeResult]:
    """Yield the result of one episode per seed, in the order they end."""
    actor = make_actor()
    envs: list[Env[Any, Any]] = []
    try:
        for start in range(0, len(seeds), options.n_envs):
            batch = seeds[start : start + options.n_envs]
            envs += [make_env() for _ in range(len(batch) - len(envs))]
            yield from _run_batch(envs, actor, batch, options)
    finally:
        for env in envs:
            env.close()


def _run_batch(
    envs: Sequence[Env[Any, Any]], actor: Actor, seeds: Sequence[int], options: RolloutOptions
) -> Iterator[EpisodeResult]:
    """Start one episode per seed together and step them until the last has ended."""
    running = [_Episode(env, seed, options) for env, seed in zip(envs, seeds, strict=False)]
    while running:
        obs = {key: np.stack([run.obs[key] for run in running]) for key in running[0].obs}
        episode_seeds = np.array([run.seed for run in running], np.int64)
        steps = np.array([run.length for run in running], np.int64)
        actions = np.asarray(actor(obs, episode_seeds, steps))
        if len(actions) != len(running):
            raise EnvError(f"the actor gave {len(actions)} actions for {len(running)} environments")
        executed = actions
        if options.perturb is not None:
            executed = options.perturb(actions, episode_seeds, steps)
        for run, action, applied in zip(running, actions, executed, strict=True):
            run.step(action, applied)
            if run.ended:
                yield run.result()
        running = [run for run in running if not run.ended]


class _Episode:
    """One episode under way."""

    def __init__(self, env: Env[Any, Any], seed: int, options: RolloutOptions) -> None:
        self.env = env
        self.seed = seed
        self.length = 0
        self.ended = False
        self._record = options.record
        self._max_steps = options.max_steps
        self.obs, info = env.reset(seed=seed)
        self._success = bool(info["success"])
        self._score = float(info["score"])
        self._return = 0.0
        self._observations: list[Observation] = []
        self._actions: list[Actions] = []
        self._frames: list[NDArray[np.uint8]] = []
        self._keep_frame()

    def step(self, action: Actions, executed: Actions) -> None:
        """Execute an action [Da] and keep `action` as the one that was chosen."""
        if self._record.trajectories:
            self._observations.append(self.obs)
            self._actions.append(np.array(action))
        self.obs, reward, terminated, truncated, info = self.env.step(executed)
        self.length += 1
        self._return += float(reward)
        self._success |= bool(info["success"])
        self._score = max(self._score, float(info["score"]))
        out_of_time = self._max_steps is not None and self.length >= self._max_steps
        self.ended = terminated or truncated or out_of_time
        self._keep_frame()

    def result(self) -> EpisodeResult:
        """Return the outcome; call it once the episode has ended."""
        obs = action = None
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
            obs=obs,
            action=action,
            frames=np.stack(self._frames) if self._frames else None,
        )

    def _keep_frame(self) -> None:
        stride = self._record.frame_stride
        if stride == 0 or (self.length % stride and not self.ended):
            return
        frame = self.env.render()
        if not isinstance(frame, np.ndarray):
            raise EnvError('frames need an environment made with render_mode="rgb_array"')
        self._frames.append(frame)

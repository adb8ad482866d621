"""The control loop: an actor, the environments or the robot it drives, and a clock.

Rollouts and a robot run the same loop; they differ in the clock alone. In a rollout several
environments start together and step together, and one that ends leaves the batch. (A freed place
is not refilled at once: actors that plan for several steps then plan for all environments in the
same call, which is far cheaper than a call for each.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from ..errors import EnvError
from .episodes import Actions, Episode, EpisodeResult, Observation, Recording


class Actor(Protocol):
    """What the loop calls: a policy, an expert, a person."""

    def __call__(
        self, observations: Sequence[Observation], seeds: Sequence[int], steps: Sequence[int]
    ) -> Actions:
        """Return one action per running episode, `[n, Da]`.

        Args:
            observations: of each episode, key -> `[...]`; they may be kept and are not written to
                again.
            seeds: of each episode, which also name it: its state is kept under its seed.
            steps: the control steps each episode has behind it; 0 marks a new one.
        """
        ...


@runtime_checkable
class Reporter(Protocol):
    """An actor that has something to say of an episode besides its actions."""

    def report(self, seed: int) -> Mapping[str, float] | None:
        """Return it, before the actor is called again without the episode."""
        ...


class Clock(Protocol):
    """What paces the loop."""

    def wait(self) -> bool:
        """Wait until the next tick is due; return False when there is to be none."""
        ...

    def commanded(self) -> None:
        """Note that the tick's actions are about to be executed."""
        ...


class SimulatedClock:
    """Simulated time waits for nobody, and nobody waits for it."""

    def wait(self) -> bool:
        """See Clock."""
        return True

    def commanded(self) -> None:
        """See Clock."""


Perturbation = Callable[[Actions, NDArray[np.int64], NDArray[np.int64]], Actions]
"""(actions `[n, Da]`, seeds `[n]`, steps `[n]`) -> the actions executed in their place."""


class ControlLoop:
    """Drives environments by one actor, tick by tick.

    Args:
        envs: run one episode each at a time; a robot is a single one.
        actor: chooses the actions.
        clock: paces the ticks; by default they follow one another at once.
        record: what to keep of each episode; nothing by default.
        max_steps: ends episodes earlier than their environment would.
        perturb: replaces the executed actions; the actor's own are recorded.
    """

    def __init__(
        self,
        envs: Sequence[Env[Any, Any]],
        actor: Actor,
        *,
        clock: Clock | None = None,
        record: Recording | None = None,
        max_steps: int | None = None,
        perturb: Perturbation | None = None,
    ) -> None:
        self._envs = envs
        self._actor = actor
        self._clock = clock or SimulatedClock()
        self._record = record or Recording()
        self._max_steps = max_steps
        self._perturb = perturb

    def run(self, seeds: Iterable[int]) -> Iterator[EpisodeResult]:
        """Yield the result of one episode per seed, in the order they end, until the clock does.

        Raises:
            EnvError: the actor gave another number of actions than there are episodes.
        """
        waiting = iter(seeds)
        while batch := list(islice(waiting, len(self._envs))):
            running = [
                Episode(env, seed, record=self._record, max_steps=self._max_steps)
                for env, seed in zip(self._envs, batch, strict=False)
            ]
            while running:
                if not self._clock.wait():
                    return
                self._tick(running)
                yield from (self._result(episode) for episode in running if episode.ended)
                running = [episode for episode in running if not episode.ended]

    def _result(self, episode: Episode) -> EpisodeResult:
        """Return the outcome of an episode that has just ended, with the actor's report."""
        result = episode.result()
        if not isinstance(self._actor, Reporter):
            return result
        return replace(result, report=self._actor.report(episode.seed))

    def _tick(self, running: Sequence[Episode]) -> None:
        """Bring every running episode one step further."""
        seeds = [episode.seed for episode in running]
        steps = [episode.length for episode in running]
        actions = np.asarray(self._actor([episode.obs for episode in running], seeds, steps))
        if len(actions) != len(running):
            raise EnvError(f"the actor gave {len(actions)} actions for {len(running)} environments")

        executed = actions
        if self._perturb is not None:
            executed = self._perturb(actions, np.array(seeds), np.array(steps))

        self._clock.commanded()
        for episode, action, applied in zip(running, actions, executed, strict=True):
            episode.step(action, applied)

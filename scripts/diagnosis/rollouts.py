"""Rollouts of the policy, and replays of the demonstrations, in the environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from .. import assembly
from ..command.progress import Progress
from .demonstrations import flattened
from .readings import Adapt
from .regression import thinned

if TYPE_CHECKING:
    from kinoise.envs.rollouts import EpisodeResult

    from .case import Case

Array = NDArray[np.float64]

#: Rollouts that are timed before more are planned.
FIRST = 6
#: Plans that are made in one call of the network.
ROWS = 8
#: Part of the time left that each kind of rollouts may take.
SHARE = 0.2


def fresh(case: Case) -> list[EpisodeResult]:
    """Roll the policy out on fresh seeds, as many as the time allows; none without an env."""
    seeds = range(case.rolling.first_seed, case.rolling.first_seed + case.rolling.n_episodes)
    return _as_many_as_fit(case, seeds, "fresh starts")


def own(case: Case) -> list[EpisodeResult]:
    """Roll the policy out from the demonstrations' own starts, where their seeds are known."""
    known = case.demonstrations.seeds[case.demonstrations.seeds >= 0]
    seeds = np.unique(known)[thinned(len(np.unique(known)), case.rolling.n_episodes)]
    return _as_many_as_fit(case, seeds.tolist(), "own starts")


def success_rate(case: Case) -> float | None:
    """Return the policy's rate of success on fresh seeds; None where it is not known."""
    episodes = case.once(fresh)
    return float(np.mean([e.success for e in episodes])) if episodes else None


def roll(
    case: Case,
    seeds: Sequence[int],
    label: str,
    *,
    make_env: Callable[..., Any] | None = None,
    **choices: Any,
) -> list[EpisodeResult]:
    """Run one episode a seed, with trajectories, and show the progress.

    Args:
        case: whose policy acts.
        seeds: of the episodes.
        label: of the progress.
        make_env: another environment than the case's.
        **choices: of `assembly.load_controller`.
    """
    from kinoise.envs.rollouts import Recording, rollout

    workers = case.rolling.n_workers
    with Progress(label, len(seeds), "episodes") as progress:
        return rollout(
            make_env or case.make_env or _no_env,
            # A fixed number of rows: the results do not depend on how many episodes run together.
            assembly.controller_factory(case.checkpoint, batch_size=ROWS, **choices),
            seeds,
            n_envs=max(1, min(case.rolling.n_envs, -(-len(seeds) // max(1, workers)))),
            n_workers=workers,
            record=Recording(trajectories=True),
            on_episode=lambda _: progress.advance(),
        )


def observations(case: Case, episode: EpisodeResult) -> Array:
    """Return an episode's observations as a matrix `[T, Do]`."""
    return flattened(episode.obs or {}, case.keys)


def seconds_each(case: Case) -> float:
    """Return how long a rollout takes."""
    case.once(fresh)
    return float(case._known.get("seconds", 0.0))


@dataclass(frozen=True)
class Replayed:
    """A demonstration executed again.

    Attributes:
        obs: `[T + 1, Do]`, what the environment showed.
        success: whether it reported success at any step.
    """

    obs: Array
    success: bool


def replay(case: Case, env: Any, seed: int, actions: Array, adapt: Adapt | None = None) -> Replayed:
    """Execute recorded actions `[T, Da]` from a seed's initial state, until the episode ends."""
    obs, info = env.reset(seed=seed)
    rows = [_row(case, obs)]
    success = bool(info.get("success", False))
    dtype = env.action_space.dtype
    for recorded in actions:
        action = recorded if adapt is None else adapt(recorded, rows[-1])
        obs, _, terminated, truncated, info = env.step(np.asarray(action, dtype))
        rows.append(_row(case, obs))
        success |= bool(info.get("success", False))
        if terminated or truncated:
            break
    return Replayed(np.stack(rows), success)


def environment(case: Case) -> Any:
    """Return a new environment as a context that closes it."""
    return closing((case.make_env or _no_env)())


def bounds(case: Case) -> tuple[Array, Array] | None:
    """Return the limits `[Da]` of the environment's actions; None without an environment."""
    if case.make_env is None:
        return None
    with environment(case) as env:
        space = env.action_space
        return np.asarray(space.low, np.float64), np.asarray(space.high, np.float64)


class NoisyObservations(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds normal noise to the vectors among an environment's observations.

    Args:
        env: with dict observations.
        scale: key -> standard deviation of every number.
    """

    def __init__(self, env: Any, scale: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(env)
        self._scale = scale
        self._rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        """Start an episode; its seed is the noise's too."""
        self._rng = np.random.default_rng((seed or 0, 0x0B5))
        obs, info = self.env.reset(seed=seed, options=options)
        return self._noisy(obs), info

    def step(self, action: Any) -> Any:
        """Execute an action `[Da]`."""
        obs, *rest = self.env.step(action)
        return self._noisy(obs), *rest

    def _noisy(self, obs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        noisy = dict(obs)
        for key, scale in self._scale.items():
            noise = self._rng.normal(size=obs[key].shape) * scale
            noisy[key] = (obs[key] + noise).astype(obs[key].dtype)
        return noisy


def make_noisy(make_env: Callable[..., Any], scale: Mapping[str, NDArray[Any]]) -> Any:
    """Make an environment with noisy observations; a partial of it crosses to workers."""
    return NoisyObservations(make_env(), scale)


def with_noise(case: Case, share: float) -> Callable[..., Any]:
    """Return a factory of the environment with noise of a share of the observations' ranges."""
    scale = {}
    column = 0
    for key, shape in case.policy.obs_shapes.items():
        size = int(np.prod(shape, dtype=int)) if len(shape) < 3 else 16
        values = case.demonstrations.obs[:, column : column + size]
        column += size
        if len(shape) < 3:
            scale[key] = share * (values.max(0) - values.min(0)).reshape(shape)
    return partial(make_noisy, case.make_env or _no_env, scale)


def _as_many_as_fit(case: Case, seeds: Sequence[int], label: str) -> list[EpisodeResult]:
    """Roll out the first seeds, and as many of the others as the time allows."""
    if case.make_env is None or not seeds or case.budget.spent:
        return []
    began = time.monotonic()
    first = roll(case, list(seeds[:FIRST]), label)
    each = (time.monotonic() - began) / len(first)
    case._known.setdefault("seconds", each)
    more = case.budget.affords(each, SHARE, 0, len(seeds) - len(first))
    rest = list(seeds[len(first) : len(first) + more])
    return [*first, *(roll(case, rest, label) if rest else [])]


def _row(case: Case, obs: Mapping[str, NDArray[Any]]) -> Array:
    row: Array = flattened({key: np.asarray(obs[key])[None] for key in case.keys}, case.keys)[0]
    return row


def _no_env(**_: Any) -> Any:
    raise AssertionError("a case without an environment was rolled out")

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.envs import make_env, make_expert
from kinoise.envs.errors import EnvError
from kinoise.envs.rollouts import ActionPushes, Actor, EpisodeResult, Recording, rollout

PICK_PLACE = "kinoise/PickPlace-v0"
pick_place = partial(make_env, PICK_PLACE)
expert = partial(make_expert, PICK_PLACE)

Obs = dict[str, NDArray[Any]]


@dataclass
class NoisyExpert:
    """Adds noise drawn from (seed, step): any mix-up of episodes would show."""

    expert: Actor

    def __call__(
        self, observations: Sequence[Obs], seeds: Sequence[int], steps: Sequence[int]
    ) -> NDArray[Any]:
        noise = [
            np.random.default_rng((seed, step)).normal(0, 0.003, 5)
            for seed, step in zip(seeds, steps, strict=True)
        ]
        return np.asarray(self.expert(observations, seeds, steps) + np.array(noise))


def noisy_expert() -> NoisyExpert:
    return NoisyExpert(expert())


def outcome(result: EpisodeResult) -> tuple[object, ...]:
    return (result.seed, result.success, result.score, result.length, result.return_)


@pytest.mark.parametrize("n_envs", [1, 3, 16])
def test_results_do_not_depend_on_the_number_of_environments(n_envs: int) -> None:
    seeds = [7, 3, 11, 5, 2]
    alone = rollout(pick_place, noisy_expert, seeds, n_envs=5, max_steps=30)
    together = rollout(pick_place, noisy_expert, seeds, n_envs=n_envs, max_steps=30)
    assert [outcome(result) for result in together] == [outcome(result) for result in alone]
    assert [result.seed for result in together] == seeds


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    seeds = range(5)
    record = Recording(trajectories=True)
    pushes = ActionPushes(scale=(0.01,) * 3 + (0.05, 0.002), rate=0.3)
    run = partial(rollout, pick_place, expert, seeds, max_steps=20, record=record, perturb=pushes)
    here, there = run(n_workers=0), run(n_workers=2, n_envs=2)
    for first, second in zip(here, there, strict=True):
        assert outcome(first) == outcome(second)
        assert first.action is not None
        assert second.action is not None
        np.testing.assert_array_equal(first.action, second.action)


def test_every_step_is_recorded_with_the_observation_before_it() -> None:
    [result] = rollout(pick_place, expert, [4], record=Recording(trajectories=True))
    assert result.obs is not None
    assert result.action is not None
    assert result.success
    assert len(result.action) == result.length
    env = pick_place()
    obs, _ = env.reset(seed=4)
    for step in range(result.length):
        for key, value in obs.items():
            np.testing.assert_array_equal(result.obs[key][step], value)
        obs, *_ = env.step(result.action[step])


def test_the_actors_own_action_is_recorded_under_perturbation() -> None:
    [result] = rollout(
        pick_place,
        expert,
        [4],
        record=Recording(trajectories=True),
        perturb=ActionPushes(scale=(0.02, 0.02, 0.02, 0.1, 0.0), rate=0.5),
    )
    assert result.obs is not None
    assert result.action is not None
    rows = range(result.length)
    seen = [{key: values[row] for key, values in result.obs.items()} for row in rows]
    chosen = expert()(seen, [4] * result.length, list(rows))
    np.testing.assert_array_equal(result.action, chosen)


def test_pushes_depend_on_seed_and_step_alone() -> None:
    pushes = ActionPushes(scale=(1.0, 1.0), rate=0.3)
    zeros = np.zeros((3, 2))
    together = pushes(zeros, np.array([1, 2, 1]), np.array([5, 300, 700]))
    alone = ActionPushes(scale=(1.0, 1.0), rate=0.3)(zeros[:1], np.array([1]), np.array([700]))
    np.testing.assert_array_equal(together[2], alone[0])
    pushed = [pushes(zeros[:1], np.array([9]), np.array([step])).any() for step in range(500)]
    assert 0.2 < np.mean(pushed) < 0.8


def test_frames_follow_the_stride_and_end_with_the_last_state() -> None:
    with_frames = partial(make_env, PICK_PLACE, render_mode="rgb_array", frame_size=(32, 24))
    [result] = rollout(with_frames, expert, [0], max_steps=7, record=Recording(frame_stride=3))
    assert result.frames is not None
    assert result.frames.shape == (4, 24, 32, 3)  # after 0, 3, 6 and 7 steps
    with pytest.raises(EnvError, match="rgb_array"):
        rollout(pick_place, expert, [0], record=Recording(frame_stride=1))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_progress_is_reported_once_per_episode(n_workers: int) -> None:
    seen: list[int] = []
    rollout(
        pick_place,
        expert,
        range(3),
        max_steps=3,
        n_workers=n_workers,
        on_episode=lambda result: seen.append(result.seed),
    )
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [1, 1]}, "distinct"),
        ({"seeds": [-1]}, "not negative"),
        ({"n_envs": 0}, "n_envs"),
        ({"make_actor": lambda: None, "n_workers": 1}, "picklable"),
        ({"make_actor": lambda: lambda obs, seeds, steps: np.zeros((7, 5))}, "7 actions for 1"),
        ({"make_actor": lambda: lambda obs, seeds, steps: np.full((1, 5), np.nan)}, "NaN"),
    ],
)
def test_a_wrong_call_is_named(change: dict[str, Any], message: str) -> None:
    arguments = {"make_env": pick_place, "make_actor": expert, "seeds": [0], **change}
    with pytest.raises(EnvError, match=message):
        rollout(**arguments)


def test_no_seeds_give_no_results() -> None:
    assert rollout(pick_place, expert, []) == []
    assert rollout(pick_place, expert, [], n_workers=2) == []


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(EnvError, match="unknown camera"):
        rollout(partial(make_env, PICK_PLACE, cameras=("frontt",)), expert, [0, 1], n_workers=2)


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(EnvError, match="worker died"):
        rollout(pick_place, partial(os._exit, 9), [0], n_workers=1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_the_workers() -> None:
    program = (
        "from functools import partial\n"
        "from kinoise.envs import make_env, make_expert\n"
        "from kinoise.envs.rollouts import rollout\n"
        "if __name__ == '__main__':\n"
        f"    rollout(partial(make_env, {PICK_PLACE!r}), partial(make_expert, {PICK_PLACE!r}),\n"
        "            range(10**6), n_workers=2,\n"
        "            on_episode=lambda result: print(result.seed, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell lets its background jobs ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in stderr
    deadline = time.monotonic() + 10
    while (left := living_processes_of_group(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def living_processes_of_group(group: int) -> list[int]:
    """Return the processes of a group that are no zombies (Linux)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (command) state parent group ...": the command may hold spaces and brackets.
            state, _, of_group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            found.append(int(status.parent.name))
    return found

"""The faults: what each changes in the data, the training or the environment, and its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .point import World, demonstrate, factory

Episode = dict[str, Any]

#: Overrides of `kinoise train` that make a policy of the point in seconds.
QUICK = (
    "task=push_t",
    "task.name=point",
    "task.env_id=null",
    "task.obs_keys=[state]",
    "policy.network.width=64",
    "policy.network.depth=2",
    "policy.horizon=8",
    "policy.n_action_steps=4",
    # A solver of our own: diffusers, whose import takes longer than the training, is not needed.
    "sampler=exponential",
    "policy.sampler.n_steps=6",
    "data.batch_size=128",
    "data.use_symmetry=false",
    "data.validation_fraction=0.15",
    "trainer.learning_rate=2e-3",
    "trainer.warmup_steps=20",
    "trainer.ema_decay=0.99",
    "trainer.log_every=10",
    "trainer.precision=float32",
    "evaluation.n_episodes=0",
    "logger=none",
    "n_threads=1",
)
N_STEPS = 800


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        name: of the fault; nothing that is diagnosed knows it.
        names: causes of which one must be among the first two findings; none for a healthy run.
        recorded: world of the demonstrations.
        world: world of the rollouts.
        n_demonstrations: how many are recorded.
        jitter: of the demonstrations' actions.
        either_side: whether they pass the obstacle on either side.
        spoil: changes the episodes before they are written.
        train: overrides.
        n_steps: of the training.
        after: changes the trained run.
    """

    name: str
    names: tuple[str, ...]
    recorded: World = field(default_factory=World)
    world: World = field(default_factory=World)
    n_demonstrations: int = 80
    jitter: float = 0.05
    either_side: bool = False
    spoil: Callable[[list[Episode]], list[Episode]] | None = None
    train: tuple[str, ...] = ()
    n_steps: int = N_STEPS
    after: Callable[[Path], None] | None = None


def with_strange_actions(episodes: list[Episode]) -> list[Episode]:
    """Give every episode the actions of the next one."""
    spoilt = []
    for episode, other in zip(episodes, [*episodes[1:], episodes[0]], strict=True):
        count = min(len(episode["action"]), len(other["action"]))
        spoilt.append({"state": episode["state"][:count], "action": other["action"][:count]})
    return spoilt


def with_late_observations(episodes: list[Episode], steps: int = 2) -> list[Episode]:
    """Show every observation some steps too late."""
    rows = [np.maximum(np.arange(len(e["action"])) - steps, 0) for e in episodes]
    return [
        {"state": e["state"][r], "action": e["action"]} for e, r in zip(episodes, rows, strict=True)
    ]


def with_foreign_statistics(run: Path) -> None:
    """Write statistics of other data into a run's checkpoint: three times as wide, and shifted."""
    from safetensors.torch import load_file, save_file

    from kinoise.policy.checkpoints import find_checkpoint

    weights = find_checkpoint(run) / "policy.safetensors"
    tensors = load_file(weights)
    name = "normalizer.centre:state"
    tensors[name] = tensors[name] + 0.4
    tensors["normalizer.scale:state"] = 3 * tensors["normalizer.scale:state"]
    save_file(tensors, weights)


FAULTS: Sequence[Fault] = (
    Fault("healthy", ()),
    Fault("sign_flip", ("action_convention",), world=World(sign=(-1.0, 1.0))),
    Fault("relative_as_absolute", ("action_convention",), world=World(absolute=True)),
    Fault("shuffled_episodes", ("pairing",), spoil=with_strange_actions),
    Fault(
        "hidden_velocity",
        ("history",),
        recorded=World(gain=0.02, inertia=0.85),
        world=World(gain=0.02, inertia=0.85),
        train=("policy.n_obs_steps=1",),
    ),
    Fault(
        "constant_dimension",
        ("constant_dimension",),
        recorded=World(drawing=False),
        world=World(drawing=True),
    ),
    Fault("late_recording", ("delay",), spoil=with_late_observations),
    Fault("late_environment", ("delay",), world=World(late=2)),
    Fault("tiny_data", ("too_little_data",), n_demonstrations=5, train=("data.batch_size=32",)),
    Fault("wrong_normalisation", ("normalisation",), after=with_foreign_statistics),
    Fault(
        "overfitted",
        ("overfitted",),
        n_demonstrations=24,
        jitter=0.5,
        train=("policy.network.width=128", "data.validation_fraction=0.33"),
        n_steps=2 * N_STEPS,
    ),
    Fault(
        "mode_switching",
        ("mode_switching",),
        either_side=True,
        train=("policy.n_action_steps=1",),
    ),
    Fault("other_simulator", ("simulator",), world=World(gain=0.06)),
    Fault("saturated", ("saturation",), world=World(limit=0.25)),
    Fault("swapped_order", ("observation_order",), world=World(order=(2, 3, 0, 1))),
    Fault("undertrained", ("undertrained",), n_steps=20),
)


def recipe(fault: Fault) -> Fault:
    """Return what of a fault decides its training: faults of one recipe share a policy."""
    return replace(fault, name="", names=(), world=World(), after=None)


def plant(fault: Fault, folder: Path, seed: int = 0) -> Path:
    """Return a run with the fault in it; what faults of one recipe share is trained once.

    Args:
        fault: what is planted.
        folder: where the runs of all faults of a seed stand.
        seed: of the demonstrations and of the training.
    """
    number = [recipe(each) for each in FAULTS].index(recipe(fault))
    trained = folder / str(number)
    if not (trained / "run" / "checkpoints" / "last").exists():
        train_run(fault, trained, seed)
    if fault.after is None:
        return trained / "run"
    run = folder / fault.name
    shutil.copytree(trained / "run", run, symlinks=True)
    fault.after(run)
    return run


def train_run(fault: Fault, folder: Path, seed: int = 0) -> Path:
    """Record demonstrations, train a policy on them, and return the run's folder."""
    from kinoise.scripts.command.settings import prepare
    from kinoise.scripts.train import train

    data = record(fault, folder / "data.zarr", seed)
    words = [*QUICK, f"trainer.n_steps={fault.n_steps}"]
    words.append(f"trainer.evaluate_every={max(10, fault.n_steps // 8)}")
    words += [f"data.path={data}", f"run={folder / 'run'}", f"seed={seed}", *fault.train]
    return train(prepare("train", words))


def record(fault: Fault, path: Path, seed: int = 0) -> Path:
    """Write the demonstrations of a fault and return their path."""
    from kinoise.datasets.storage import ReplayBuffer

    seeds = []
    episodes = []
    number = 10_000 * seed
    while len(episodes) < fault.n_demonstrations:
        episode = demonstrate(
            fault.recorded, number, jitter=fault.jitter, either_side=fault.either_side
        )
        if episode is not None:
            episodes.append(episode)
            seeds.append(number)
        number += 1
    if fault.spoil is not None:
        episodes = fault.spoil(episodes)
    with ReplayBuffer.create(path) as buffer:
        keys = ("state", "action")
        buffer.append_steps({key: np.concatenate([e[key] for e in episodes]) for key in keys})
        buffer.commit([len(e["action"]) for e in episodes], seeds)
    return path


def diagnose(fault: Fault, run: Path, *, minutes: float = 3.0, n_episodes: int = 16) -> Any:
    """Diagnose a run with a planted fault: from its checkpoint, data and environment alone."""
    from kinoise.policy.checkpoints import find_checkpoint
    from kinoise.scripts.diagnosis import Rolling, examine, open_case
    from kinoise.scripts.tasks import TaskSettings

    case = open_case(
        find_checkpoint(run),
        TaskSettings(name="point", env_id=None, obs_keys=["state"]),
        data=None,
        rolling=Rolling(n_episodes, first_seed=900_000, n_envs=n_episodes, n_workers=0),
        minutes=minutes,
        make_env=factory(fault.world),
    )
    return examine(case)

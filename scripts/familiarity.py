"""Say how familiar observations are to a policy, by the likelihood of what it plans on them.

The score (`kinoise.policy.density.familiarity`) is calibrated on training episodes, applied to
fresh episodes, and tried on corrupted copies of them and on episodes with pushes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from . import assembly, tasks
from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.values import Above, Below, Count, Environments, Seed, Workers
from .evaluation import roll_out
from .reporting.corruption import CORRUPTIONS, UNSEEN, Scale, Trajectory
from .reporting.detection import auroc, auroc_interval
from .reporting.report import write_metrics, write_report
from .reporting.results import machine

if TYPE_CHECKING:
    import torch

    from kinoise.envs.rollouts import EpisodeResult
    from kinoise.policy.density.familiarity import Familiarity
    from kinoise.policy.diffusion_policy import DiffusionPolicy

#: How much harder than in training the pushes are.
PUSH = 10.0
BATCH = 64


@dataclass(frozen=True)
class Settings:
    """See `configs/familiarity.yaml`."""

    checkpoint: Path
    out: Path | None
    data: Path | None
    n_reference_episodes: Count
    n_episodes: Count
    first_seed: Seed
    n_envs: Environments
    n_workers: Workers
    n_plans: Count
    n_steps: Count
    rate: Annotated[float, Above(0), Below(1)]
    trust: bool
    task: Any = None
    limits: Any = None
    policy: assembly.Choices = field(default_factory=assembly.Choices)


@dataclass(frozen=True)
class Windows:
    """What a controller sees at each replanning of some episodes, N in all.

    Attributes:
        obs: key -> `[N, To, ...]`.
        episode: number of the episode, `[N]`.
        is_first: True at an episode's first replanning, `[N]`; otherwise the one before is the
            row before.
    """

    obs: dict[str, torch.Tensor]
    episode: NDArray[np.int64]
    is_first: NDArray[np.bool_]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], policy: DiffusionPolicy) -> Windows:
        """Return the windows at steps 0, Ta, 2 Ta, ... of trajectories key -> `[T, ...]`."""
        import torch

        keys = list(policy.obs_shapes)
        lengths = []
        columns: dict[str, list[NDArray[Any]]] = {key: [] for key in keys}
        for trajectory in trajectories:
            steps = np.arange(0, len(trajectory[keys[0]]), policy.n_action_steps)
            rows = steps[:, None] + np.arange(1 - policy.n_obs_steps, 1)
            for key in keys:
                columns[key].append(trajectory[key][np.maximum(rows, 0)])
            lengths.append(len(steps))
        first = np.concatenate([np.arange(n) == 0 for n in lengths])
        obs = {key: torch.from_numpy(np.concatenate(column)) for key, column in columns.items()}
        return cls(obs, np.repeat(np.arange(len(lengths)), lengths), first)

    def __len__(self) -> int:
        return len(self.episode)

    def differs(self, other: Windows) -> NDArray[np.bool_]:
        """Return where `[N]` the observations are others than those of `other`."""
        pairs = [(self.obs[key], other.obs[key]) for key in self.obs]
        unequal = [(a != b).flatten(1).any(1).numpy() for a, b in pairs]
        return np.asarray(np.any(unequal, 0))


def run(settings: Settings) -> None:
    """Score observations, print a summary, and write familiarity.json and familiarity.html."""
    from kinoise.policy.checkpoints import find_checkpoint

    checkpoint = find_checkpoint(settings.checkpoint)
    out = assembly.run_folder(checkpoint) if settings.out is None else settings.out
    check_folder("out", out)
    task = tasks.task_of(settings, checkpoint)
    result = examine(settings, checkpoint, task)
    _print_summary(result)
    write_metrics(out / "familiarity.json", result)
    report = write_report(
        out / "familiarity.html",
        title=f"Familiarity of observations on {task.name}",
        subtitle=f"{settings.n_episodes} episodes from seed {settings.first_seed}, "
        f"checkpoint {checkpoint.resolve().name}",
        summary={"flagged": result["flagged"], "observations": result["n"]},
        tables=[table(result)],
        environment=machine(),
    )
    print(f"report {report}")


def training_data(settings: Settings, checkpoint: Path) -> Path:
    """Return the path of the training data that the settings or the checkpoint name.

    Raises:
        UsageError: there is nothing.
    """
    from kinoise.policy.checkpoints import read_config

    path = settings.data or Path(read_config(checkpoint)["data"]["path"])
    if not path.exists():
        raise UsageError(
            f"familiarity compares with the training data, and there is nothing at '{path}'; "
            "give data=PATH"
        )
    return path


def examine(settings: Settings, checkpoint: Path, task: tasks.TaskSettings) -> dict[str, Any]:
    """Score observations of training, of fresh episodes and of corrupted and pushed ones.

    Raises:
        UsageError: there are no training data, or the settings do not fit the policy.
    """
    from kinoise.envs.rollouts import Recording
    from kinoise.policy.density.familiarity import Familiarity

    choices = settings.policy.checked()
    policy = assembly.check_choices(checkpoint, choices)
    data = training_data(settings, checkpoint)
    training = _training_episodes(data, settings.n_reference_episodes, list(policy.obs_shapes))
    roll = partial(
        roll_out,
        tasks.make_env(task),
        assembly.controller_factory(checkpoint, sampler=choices.sampler, guidance=choices.guidance),
        n_episodes=settings.n_episodes,
        first_seed=settings.first_seed,
        n_envs=settings.n_envs,
        n_workers=settings.n_workers,
        record=Recording(trajectories=True),
    )
    usual = _observations(roll(label="roll out"))
    trajectories = _corrupted(usual, Scale.of(training))
    pushes = _harder_pushes(task)
    if pushes is not None:
        trajectories["pushed"] = _observations(roll(label="pushed", perturb=pushes))
    reference = Windows.of(training, policy)
    seen = Windows.of(usual, policy)
    others = {name: Windows.of(each, policy) for name, each in trajectories.items()}
    total = settings.n_plans * sum(map(len, (reference, seen, *others.values())))
    with Progress("familiarity", total, "plans") as progress:

        def surprises(windows: Windows) -> NDArray[np.float64]:
            return _surprises(policy, windows, settings, progress)

        familiarity = Familiarity.fit(surprises(reference), reference.is_first, settings.rate)
        seen_scores = familiarity.score(surprises(seen), seen.is_first)
        scores = {
            name: familiarity.score(surprises(windows), windows.is_first)
            for name, windows in others.items()
        }
    kinds = _kinds_of(scores, others, seen)
    return _result(settings, familiarity, (seen_scores, seen.episode), kinds)


def _kinds_of(
    scores: Mapping[str, NDArray[np.float64]], others: Mapping[str, Windows], seen: Windows
) -> dict[str, Scores]:
    """Return the scores of those windows of each kind that differ from the usual ones."""
    kinds: dict[str, Scores] = {}
    for name, windows in others.items():
        strange = windows.differs(seen) if name in CORRUPTIONS else np.ones(len(windows), bool)
        if strange.any():
            kinds[name] = (scores[name][strange], windows.episode[strange])
    return kinds


def table(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report's table of an examination."""
    return {
        "title": "Familiarity of observations",
        "columns": ["observations", "n", "AUROC", "95 % interval", "AUROC of episodes", "flagged"],
        "rows": [
            ["usual", result["n"], None, None, None, result["flagged"]],
            *(
                [
                    row["what"],
                    row["n"],
                    row["auroc"],
                    "{:.3f} to {:.3f}".format(*row["auroc_interval"]),
                    row["auroc_of_episodes"],
                    row["flagged"],
                ]
                for row in result["kinds"]
            ),
        ],
    }


def _print_summary(result: Mapping[str, Any]) -> None:
    """Print what an examination found."""
    print(
        f"familiarity     {100 * result['flagged']:.1f} % of {result['n']} observations flagged "
        f"(training: {100 * result['rate']:.0f} %)"
    )
    for row in result["kinds"]:
        low, high = row["auroc_interval"]
        print(
            f"  {row['kind']:<13} AUROC {row['auroc']:.3f} [{low:.3f}, {high:.3f}]"
            f"  flagged {100 * row['flagged']:3.0f} %  ({row['what']})"
        )


Scores = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Scores `[N]` and the episodes `[N]` they belong to."""


def _training_episodes(
    data: Path, n_episodes: int, keys: Sequence[str]
) -> list[dict[str, NDArray[Any]]]:
    """Return observations of training episodes, spread over the data set."""
    from kinoise.datasets.storage import ReplayBuffer

    buffer = ReplayBuffer.open(data)
    count = min(buffer.n_episodes, n_episodes)
    chosen = np.linspace(0, buffer.n_episodes - 1, count).round().astype(int)
    bounds = [buffer.bounds(int(episode)) for episode in chosen]
    return [{key: buffer.read(key, *rows) for key in keys} for rows in bounds]


def _observations(episodes: Sequence[EpisodeResult]) -> list[Trajectory]:
    return [episode.obs for episode in episodes if episode.obs is not None]


def _corrupted(usual: Sequence[Trajectory], scale: Scale) -> dict[str, list[Trajectory]]:
    """Return the episodes corrupted in every way; in none where all sensors are cameras."""
    rng = np.random.default_rng(0)
    ways = CORRUPTIONS.items() if scale.keys else ()
    return {name: corrupt(usual, scale, rng) for name, (corrupt, _) in ways}


def _harder_pushes(task: tasks.TaskSettings) -> Any:
    """Return the task's disturbance of actions, PUSH times as strong; None where it has none."""
    return None if task.spec is None else task.spec.perturbation(PUSH)


def _surprises(
    policy: DiffusionPolicy, windows: Windows, settings: Settings, progress: Progress
) -> NDArray[np.float64]:
    """Return the surprise `[N]` of every window, averaged over independent plans."""
    import torch

    from kinoise.policy.density.familiarity import surprise

    # Apart from the noise of the evaluation, whose generators are seeded with the episodes' seeds.
    generator = torch.Generator().manual_seed(2**40)
    none = torch.from_numpy(windows.is_first)[:, None, None]
    total = np.zeros(len(windows))
    batches = [slice(start, start + BATCH) for start in range(0, len(windows), BATCH)]

    def obs(rows: slice) -> dict[str, torch.Tensor]:
        return {key: values[rows] for key, values in windows.obs.items()}

    for _ in range(settings.n_plans):
        plans = torch.cat([policy.sample(obs(rows), generator).cpu() for rows in batches])
        before = torch.where(none, torch.nan, plans.roll(1, 0))
        for rows in batches:
            found = surprise(
                policy, obs(rows), plans[rows], before[rows], generator, settings.n_steps
            )
            total[rows] += found.double().numpy(force=True) / settings.n_plans
            progress.advance(len(found))
    # Where a density is not even finite the policy knows nothing.
    return np.nan_to_num(total, nan=np.inf, posinf=np.inf)


def _result(
    settings: Settings, familiarity: Familiarity, seen: Scores, kinds: Mapping[str, Scores]
) -> dict[str, Any]:
    together = [kinds[name] for name in UNSEEN if name in kinds]
    rows = []
    if together:
        rows.append(_row("unseen", "the next three together", seen, *together))
    for name, scores in kinds.items():
        what = CORRUPTIONS[name][1] if name in CORRUPTIONS else "the actions are disturbed"
        rows.append(_row(name, what, seen, scores))
    return {
        "rate": settings.rate,
        "n": len(seen[0]),
        "flagged": float((seen[0] > 1).mean()),
        "first": familiarity.first,
        "later": familiarity.later,
        "kinds": rows,
    }


def _row(kind: str, what: str, seen: Scores, *strange: Scores) -> dict[str, Any]:
    """Return how well `seen` is told from the kinds `strange`, taken together."""
    values, episodes = (np.concatenate(column) for column in zip(*strange, strict=True))
    interval = auroc_interval(seen[0], values, seen[1], episodes)
    of_episodes = np.concatenate([_of_episodes(each) for each in strange])
    return {
        "kind": kind,
        "what": what,
        "n": len(values),
        "auroc": interval.estimate,
        "auroc_interval": (interval.low, interval.high),
        "auroc_of_episodes": auroc(_of_episodes(seen), of_episodes),
        "flagged": float((values > 1).mean()),
    }


def _of_episodes(scores: Scores) -> NDArray[np.float64]:
    """Return the mean score of each episode."""
    values, episodes = scores
    count = np.bincount(episodes)
    return np.asarray((np.bincount(episodes, values) / np.maximum(count, 1))[count > 0])

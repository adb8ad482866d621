"""Train a policy on a data set, scoring checkpoints by rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from . import assembly, recipes, tasks
from .command.errors import UsageError
from .command.files import set_aside
from .command.nodes import check_arguments, check_node
from .command.places import check_folder
from .command.progress import Progress, say
from .command.settings import plain
from .command.values import (
    AtLeast,
    AtMost,
    Below,
    Count,
    DeviceName,
    Environments,
    NonNegative,
    Positive,
    Seed,
    Workers,
)

if TYPE_CHECKING:
    from kinoise.datasets.loader import Loaders
    from kinoise.policy.training.trainer import Evaluate, Trainer

Part = Annotated[float, AtLeast(0), Below(1)]
#: What the signature of `Trainer` does not say of its settings.
TRAINER: dict[str, Any] = {
    "n_steps": Count,
    "learning_rate": Positive,
    "betas": tuple[Part, Part],
    "weight_decay": Annotated[float, AtLeast(0)],
    "warmup_steps": NonNegative,
    "clip_norm": Positive,
    "accumulation": Count,
    "ema_decay": Part,
    "precision": Literal["auto", "float32", "bfloat16"],
    "log_every": Count,
    "checkpoint_minutes": Positive,
    "evaluate_every": NonNegative,
    "best_by": Literal["success", "score", "action_error", "validation_loss"],
}
#: Parameters of `Trainer` that are settings of the whole training.
GIVEN = {"trainer": ("policy", "config", "folder", "seed", "rate_factors", "logger")}
#: What a training writes into its run's folder.
RECORDS = ("checkpoints", "metrics.jsonl", "tensorboard", recipes.RECORD)


@dataclass(frozen=True)
class Data:
    """The demonstrations, and how windows are cut from them."""

    path: Path
    batch_size: Count
    n_episodes: Count | None
    validation_fraction: Part
    use_symmetry: bool
    pad_after: NonNegative | None
    padding: Literal["repeat", "mask"]


@dataclass(frozen=True)
class Rollouts:
    """The episodes that score a checkpoint."""

    n_episodes: NonNegative
    n_envs: Environments | tasks.Auto
    n_workers: Workers | tasks.Auto
    first_seed: Seed


@dataclass(frozen=True)
class Settings(tasks.EnvChoices):
    """See `configs/train.yaml`."""

    task: Any
    policy: Mapping[str, Any]
    trainer: Mapping[str, Any]
    data: Data
    evaluation: Rollouts
    seed: Seed
    run: Path
    resume: bool
    allow_changes: bool
    overwrite: bool
    device: DeviceName
    n_threads: Annotated[int, AtLeast(1), AtMost(1024)]
    base_network: Mapping[str, Any] | None
    logger: Mapping[str, Any] | None = None
    family: Mapping[str, Any] | None = None
    limits: Any = None
    recipe: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    minutes: Positive | None = None
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise UsageError("resume=true continues a run and overwrite=true replaces it; give one")


def run(settings: Settings) -> Mapping[str, Any]:
    """Train as configured and return the figures of the last checkpoint.

    Ctrl-C leaves a checkpoint that `resume=true` continues from.
    """
    from kinoise.policy.checkpoints import read_meta
    from kinoise.policy.training.log import read_log

    folder = train(settings)
    meta = read_meta(folder / "checkpoints" / "last")
    losses = [record["loss"] for record in read_log(folder / "metrics.jsonl") if "loss" in record]
    return {"step": meta["step"], "loss": losses[-1], **meta["metrics"]}


def train(settings: Settings) -> Path:
    """Train as configured and return the run's folder.

    Raises:
        UsageError: the settings do not fit the data, each other, or what the run's folder holds;
            nothing is changed then.
    """
    import torch

    settings = check(settings)
    _check_run(settings)
    torch.set_num_threads(settings.n_threads)
    named = tasks.task_of(settings)
    task = tasks.completed(named, settings.data.path)
    if not named.obs_keys:
        say(tasks.summary(task))
    if not named.obs_keys or settings.env is not None:
        settings = replace(settings, task=plain(task))
    buffer = assembly.open_data(settings, task)
    settings = check(recipes.settle(settings, task, buffer))
    loaders = assembly.load_windows(settings, buffer, task)
    node = assembly.fill_dimensions(settings.policy, buffer, task.obs_keys)
    policy = assembly.build_policy(node, buffer, loaders.train, settings.seed, settings.device)
    trainer = _trainer(settings, policy, {**plain(settings), "policy": node})
    evaluate = _evaluate(settings, task)
    n_parameters = sum(p.numel() for p in policy.parameters())
    say(
        f"{buffer.n_episodes} episodes, {buffer.n_steps} steps -> {len(loaders.train.windows)} "
        f"windows; {n_parameters / 1e6:.2f} M parameters; run {settings.run}"
    )
    with set_aside(settings.run, RECORDS, replaced_by="checkpoints/last", keep=settings.resume):
        recipes.record(settings.run, settings.recipe)
        last = _fit(trainer, loaders, evaluate)
    if trainer.interrupted:
        say(f"stopped at step {trainer.step}; continue with resume=true run={settings.run}")
        raise KeyboardInterrupt
    say(f"checkpoint {last}")
    return settings.run


def _fit(trainer: Trainer, loaders: Loaders, evaluate: Evaluate | None) -> Path:
    held_out = loaders.validation
    with Progress("train", trainer.n_steps, "steps", start=trainer.step) as progress:

        def on_step(step: int, loss: float | None) -> None:
            facts = {} if loss is None else {"loss": f"{loss:.4f}"}
            progress.update(step, **facts)

        return trainer.fit(
            loaders.train.batch,
            evaluate=evaluate,
            validation=None if held_out is None else held_out.batches,
            on_step=on_step,
        )


def check(settings: Settings) -> Settings:
    """Return the settings held to the constructors that they will be given to.

    Raises:
        UsageError: a setting that one of them does not have or allow.
    """
    from kinoise.policy.training.trainer import Trainer

    policy = assembly.check_policy(settings.policy)
    assembly.check_base_network(policy, settings.base_network)
    trainer = check_arguments(Trainer, settings.trainer, "trainer", given=GIVEN, hints=TRAINER)
    _check_logger(settings.logger)
    return replace(settings, policy=policy, trainer=trainer)


def _check_run(settings: Settings) -> None:
    """Hold the settings to what stands in the run's folder."""
    check_folder("run", settings.run)
    last = settings.run / "checkpoints" / "last"
    if settings.resume and not last.exists():
        raise UsageError(f"nothing to resume in '{settings.run}'; train it without resume=true")
    if last.exists() and not (settings.resume or settings.overwrite):
        raise UsageError(
            f"run '{settings.run}' exists; continue it with resume=true, replace it with "
            "overwrite=true, or name another with run=..."
        )


def _check_logger(node: Mapping[str, Any] | None) -> None:
    """Hold a logger's node to its constructor, and say at once what is not installed.

    Raises:
        UsageError: a setting that it does not have.
        PolicyError: its package is not installed.
    """
    from kinoise.policy.training.loggers import EXTRAS, require

    check_node(node, "logger", {"logger": ("folder", "resume_at")})
    module = str((node or {}).get("_target_", "")).rpartition(".")[2].lower()
    if module in EXTRAS:
        require(module)


def _trainer(settings: Settings, policy: Any, config: Mapping[str, Any]) -> Trainer:
    from hydra.utils import instantiate

    from kinoise.policy.training.trainer import Trainer

    logger = None if settings.logger is None else instantiate(settings.logger)
    trainer = Trainer(
        policy,
        config,
        settings.run,
        seed=settings.seed,
        logger=logger,
        rate_factors=assembly.rate_factors(config["policy"], policy, settings.base_network),
        **settings.trainer,
    )
    if settings.resume:
        last = settings.run / "checkpoints" / "last"
        trainer.resume(last, allow_changes=settings.allow_changes)
    return trainer


def _evaluate(settings: Settings, task: tasks.TaskSettings) -> Evaluate | None:
    """Return the function that scores a checkpoint by rollouts, or None where there are none."""
    if task.env_id is None or settings.evaluation.n_episodes == 0:
        return None
    from .evaluation import roll_out, summarise

    make_env = tasks.make_env(task)
    pace = tasks.probe(task)
    spread = {
        "n_envs": pace.envs(settings.evaluation.n_envs),
        "n_workers": pace.workers(settings.evaluation.n_workers),
    }

    def evaluate(checkpoint: Path) -> Mapping[str, float]:
        # An interrupt ends the scoring at once: the checkpoint is on disk already.
        episodes = roll_out(
            make_env,
            assembly.controller_factory(checkpoint),
            label=f"evaluate {checkpoint.name}",
            **{**plain(settings.evaluation), **spread},
        )
        summary = summarise(episodes)
        say(
            f"{checkpoint.name}: success {summary['success']:.3f}, score {summary['score']:.3f} "
            f"over {summary['n_episodes']} episodes"
        )
        return {"success": summary["success"], "score": summary["score"]}

    return evaluate

"""Train a policy on a data set, scoring checkpoints by rollouts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, tasks
from .errors import UsageError
from .progress import Progress

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from kinoise.policy.training.trainer import Evaluate, Trainer


def run(cfg: DictConfig) -> None:
    """Train as configured; Ctrl-C leaves a checkpoint that `resume=true` continues from."""
    train(cfg)


def train(cfg: DictConfig) -> Path:
    """Train as configured and return the run's folder."""
    import torch

    task = tasks.task_of(cfg)
    torch.set_num_threads(cfg.n_threads)
    buffer = assembly.open_data(cfg, task)
    loaders = assembly.load_windows(cfg, buffer, task)
    node = assembly.fill_dimensions(assembly.plain(cfg.policy), buffer, task.obs_keys)
    policy = assembly.build_policy(node, buffer, loaders.train, cfg.seed, cfg.device)
    trainer = _trainer(cfg, policy, {**assembly.plain(cfg), "policy": node})
    n_parameters = sum(p.numel() for p in policy.parameters())
    print(
        f"{buffer.n_episodes} episodes, {buffer.n_steps} steps -> {len(loaders.train.windows)} "
        f"windows; {n_parameters / 1e6:.2f} M parameters; run {cfg.run}"
    )
    with Progress("train", cfg.trainer.n_steps, "steps", start=trainer.step) as progress:

        def on_step(step: int, loss: float | None) -> None:
            facts = {} if loss is None else {"loss": f"{loss:.4f}"}
            progress.update(step, **facts)

        last = trainer.fit(loaders.train.batch, evaluate=_evaluate(cfg, task), on_step=on_step)
    if trainer.step < trainer.n_steps:
        print(f"stopped at step {trainer.step}; continue with resume=true run={cfg.run}")
        raise KeyboardInterrupt
    print(f"checkpoint {last}")
    return Path(cfg.run)


def _trainer(cfg: DictConfig, policy: Any, config: Mapping[str, Any]) -> Trainer:
    from kinoise.policy.training.trainer import Trainer

    folder = Path(cfg.run)
    if (folder / "checkpoints" / "last").exists() and not cfg.resume:
        if not cfg.overwrite:
            raise UsageError(
                f"run '{folder}' exists; continue it with resume=true, replace it with "
                "overwrite=true, or name another with run=..."
            )
        shutil.rmtree(folder / "checkpoints")
    base = None if cfg.base_network is None else assembly.plain(cfg.base_network)
    trainer = Trainer(
        policy,
        config,
        folder,
        seed=cfg.seed,
        rate_factors=assembly.rate_factors(config["policy"], policy, base),
        **assembly.plain(cfg.trainer),
    )
    if cfg.resume:
        trainer.resume(folder / "checkpoints" / "last")
    return trainer


def _evaluate(cfg: DictConfig, task: tasks.TaskSettings) -> Evaluate | None:
    """Return the function that scores a checkpoint by rollouts, or None where there are none."""
    if task.env_id is None or cfg.evaluation.n_episodes == 0:
        return None
    from .evaluation import roll_out, summarise

    make_env = tasks.make_env(task)

    def evaluate(checkpoint: Path) -> Mapping[str, float]:
        episodes = roll_out(
            make_env,
            assembly.controller_factory(checkpoint),
            label=f"evaluate {checkpoint.name}",
            **assembly.plain(cfg.evaluation),
        )
        summary = summarise(episodes)
        print(
            f"{checkpoint.name}: success {summary['success']:.3f}, score {summary['score']:.3f} "
            f"over {summary['n_episodes']} episodes"
        )
        return {"success": summary["success"], "score": summary["score"]}

    return evaluate

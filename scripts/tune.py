"""Search the grid on which a policy's sampler with few steps comes closest to the exact solution.

The network stays as it is: the new table is stored with a copy of the checkpoint.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, tasks
from .errors import UsageError
from .progress import Progress

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from kinoise.policy.diffusion_policy import DiffusionPolicy


def run(cfg: DictConfig) -> None:
    """Search, print the errors of the grids and write the checkpoint with the best one."""
    import torch

    from kinoise.policy import load_policy
    from kinoise.policy.checkpoints.folder import (
        find_checkpoint,
        read_config,
        read_meta,
        save_checkpoint,
    )
    from kinoise.policy.sampling.grid_search import search_grid
    from kinoise.policy.sampling.sampler import Sampler

    checkpoint = find_checkpoint(cfg.checkpoint)
    policy = load_policy(checkpoint)
    if policy.path.has_base:
        raise UsageError("this policy starts from its previous chunk; only others can be tuned")
    config = read_config(checkpoint)
    obs = _observations(cfg, config, tasks.task_of(cfg, checkpoint))
    generator = torch.Generator().manual_seed(cfg.seed)
    noise = torch.randn(cfg.n_chunks, policy.horizon, policy.action_dim, generator=generator)
    node = assembly.plain(cfg.policy.sampler)
    began = time.monotonic()
    with Progress("tune", cfg.n_tables, "grids") as progress:
        search = search_grid(
            _counted(_clipped(policy, obs), progress, cfg.n_steps),
            policy.path,
            cfg.n_steps,
            noise,
            solver=node["solver"],
            options=node["options"],
            start=_latest(policy),
            n_tables=cfg.n_tables,
        )
    for name, error in sorted(search.errors.items(), key=lambda item: item[1]):
        print(f"{name:10s} mean squared error {error:.3e}")
    print(f"{'found':10s} mean squared error {search.error:.3e}, {time.monotonic() - began:.0f} s")
    node |= {
        "n_steps": cfg.n_steps,
        "grid": {
            "_target_": "kinoise.policy.sampling.grids.Explicit",
            "times": list(search.grid.times),
        },
    }
    policy.set_sampler(Sampler(node["solver"], cfg.n_steps, search.grid, node["options"]))
    out = Path(cfg.out) if cfg.out else assembly.run_folder(checkpoint) / f"tuned_n{cfg.n_steps}"
    save_checkpoint(
        out,
        config={**config, "policy": {**config["policy"], "sampler": node}},
        weights=policy.state_dict(),
        table=policy.table,
        step=read_meta(checkpoint)["step"],
        metrics={"grid_error": search.error, "grid_errors": dict(search.errors)},
    )
    print(f"checkpoint {out}")


def _observations(
    cfg: DictConfig, config: dict[str, Any], task: tasks.TaskSettings
) -> dict[str, Tensor]:
    """Return observations of as many windows as chunks are asked for, drawn by the seed."""
    from omegaconf import OmegaConf

    # A checkpoint may come from anywhere: none of its text is resolved.
    trained = OmegaConf.create(assembly.literal(config))
    trained.data.path = cfg.data or trained.data.path
    trained.data.batch_size, trained.seed = cfg.n_chunks, cfg.seed
    buffer = assembly.open_data(trained, task)
    loaders = assembly.load_windows(trained, buffer, task)
    observations: dict[str, Tensor] = loaders.train.batch(0)["obs"]
    return observations


def _clipped(policy: DiffusionPolicy, obs: dict[str, Tensor]) -> Any:
    """Return the policy's x_0 estimate as its sampler sees it."""
    import torch

    with torch.no_grad():
        estimate, clip = policy.estimator(obs), policy.clip_sample

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        sample: Tensor = estimate(x, t)
        return sample if clip is None else sample.clamp(-clip, clip)

    return denoise


def _counted(denoise: Any, progress: Progress, n_steps: int) -> Any:
    """Return `denoise`, telling the progress bar of every grid that it has seen."""
    calls = 0

    def counting(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls % n_steps == 0:
            progress.update(min(calls // n_steps, progress.total))
        estimate: Tensor = denoise(x, t)
        return estimate

    return counting


def _latest(policy: DiffusionPolicy) -> float:
    """Return the latest time at which the target gives x_0: noise prediction needs alpha > 0."""
    import torch

    from kinoise.policy.targets import frame

    end = torch.ones(1, dtype=torch.float64)
    level = frame(policy.objective.target, policy.path, end)
    return 1.0 if float(level.det.abs()) > 1e-8 else 0.999

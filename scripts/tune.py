"""Search the grid on which a policy's sampler with few steps comes closest to the exact solution.

The network stays as it is: the new table is stored with a copy of the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import assembly, tasks
from .command.errors import UsageError
from .command.places import check_folder
from .command.progress import Progress
from .command.values import Count, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from kinoise.policy.diffusion_policy import DiffusionPolicy
    from kinoise.policy.sampling.grid_search import Search


@dataclass(frozen=True)
class Settings:
    """See `configs/tune.yaml`."""

    checkpoint: Path
    policy: assembly.Choices
    n_steps: Count
    out: Path | None
    overwrite: bool
    data: Path | None
    n_chunks: Count
    n_tables: Count
    seed: Seed
    trust: bool
    task: Any = None


def run(settings: Settings) -> None:
    """Search, print the errors of the grids and write the checkpoint with the best one.

    Raises:
        UsageError: `out` is taken, or the policy cannot be tuned.
    """
    from kinoise.policy.checkpoints import find_checkpoint, read_config, read_meta, save_checkpoint
    from kinoise.policy.sampling import Sampler

    choices = settings.policy.checked()
    if choices.sampler is None:
        raise UsageError("'tune' needs a sampler whose grid it can search; give sampler=dpmpp_2m")
    checkpoint = find_checkpoint(settings.checkpoint)
    name = f"tuned_n{settings.n_steps}"
    out = assembly.run_folder(checkpoint) / name if settings.out is None else settings.out
    _check_out(out, checkpoint, overwrite=settings.overwrite)
    assembly.check_choices(checkpoint, choices)
    policy = assembly.check_choices(checkpoint, assembly.Choices())
    if policy.path.has_base:
        raise UsageError("this policy starts from its previous chunk; only others can be tuned")

    config = read_config(checkpoint)
    task = tasks.task_of(settings, checkpoint)
    obs = _observations(settings, config, task)
    search = _search(settings, choices.sampler, policy, obs)
    node = {
        **choices.sampler,
        "n_steps": settings.n_steps,
        "grid": {
            "_target_": "kinoise.policy.sampling.grids.Explicit",
            "times": list(search.grid.times),
        },
    }
    policy.set_sampler(Sampler(node["solver"], settings.n_steps, search.grid, node["options"]))
    save_checkpoint(
        out,
        config={**config, "policy": {**config["policy"], "sampler": node}},
        weights=policy.state_dict(),
        table=policy.table,
        step=read_meta(checkpoint)["step"],
        metrics={"grid_error": search.error, "grid_errors": dict(search.errors)},
    )
    print(f"checkpoint {out}")


def _search(
    settings: Settings, sampler: Mapping[str, Any], policy: DiffusionPolicy, obs: dict[str, Tensor]
) -> Search:
    """Return the best grid for a policy on some observations, and print how good the others are."""
    import torch

    from kinoise.policy.sampling.grid_search import search_grid

    generator = torch.Generator().manual_seed(settings.seed)
    shape = (settings.n_chunks, policy.horizon, policy.border.action_dim)
    noise = torch.randn(shape, generator=generator)
    began = time.monotonic()
    with Progress("tune", settings.n_tables, "grids") as progress:
        search = search_grid(
            _counted(_clipped(policy, obs), progress, settings.n_steps),
            policy.path,
            settings.n_steps,
            noise,
            solver=sampler["solver"],
            options=sampler["options"],
            start=_latest(policy),
            n_tables=settings.n_tables,
        )
    seconds = time.monotonic() - began
    for name, error in sorted(search.errors.items(), key=lambda item: item[1]):
        print(f"{name:10s} mean squared error {error:.3e}")
    print(f"{'found':10s} mean squared error {search.error:.3e}, {seconds:.0f} s")
    return search


def _check_out(out: Path, checkpoint: Path, *, overwrite: bool) -> None:
    """Hold `out` to a place that is free, or to another checkpoint that may be replaced.

    Raises:
        UsageError: it is neither.
    """
    if not out.exists():
        check_folder("out", out)
        return
    if not (out / "policy.safetensors").is_file() or out.is_symlink():
        raise UsageError(f"out: '{out}' is no checkpoint, so it is not replaced; name another path")
    if out.resolve() == checkpoint.resolve():
        raise UsageError(f"out: '{out}' is the checkpoint that is tuned; name another path")
    if not overwrite:
        raise UsageError(f"out: '{out}' exists; replace it with overwrite=true, or name another")


def _observations(
    settings: Settings, config: dict[str, Any], task: tasks.TaskSettings
) -> dict[str, Tensor]:
    """Return observations of as many windows as chunks are asked for, drawn by the seed."""
    from omegaconf import OmegaConf

    trained = OmegaConf.create(assembly.literal(config))
    trained.data.path = str(settings.data or trained.data.path)
    trained.data.batch_size = settings.n_chunks
    trained.seed = settings.seed
    buffer = assembly.open_data(trained, task)
    loaders = assembly.load_windows(trained, buffer, task)
    observations: dict[str, Tensor] = loaders.train.batch(0)["obs"]
    return observations


def _clipped(policy: DiffusionPolicy, obs: dict[str, Tensor]) -> Any:
    """Return the policy's x_0 estimate as its sampler sees it."""
    import torch

    with torch.no_grad():
        estimate = policy.estimator(obs)
    clamp = policy.border.clamp(obs)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        sample: Tensor = estimate(x, t)
        return sample if clamp is None else clamp(sample)

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

    level = policy.denoiser.level(torch.ones(1, dtype=torch.float64))
    return 1.0 if float(level.det.abs()) > 1e-8 else 0.999

"""Put the three rooms together: data set + configuration -> policy; checkpoint -> controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from .command.errors import UsageError

if TYPE_CHECKING:
    from kinoise.datasets.loader import Loaders, WindowLoader
    from kinoise.datasets.replay_buffer import ReplayBuffer
    from kinoise.policy.control.receding_horizon import RecedingHorizonController
    from kinoise.policy.diffusion_policy import DiffusionPolicy


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as resolved dicts, lists and scalars."""
    tree: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return tree


def open_data(cfg: DictConfig) -> ReplayBuffer:
    """Open the data set of a training configuration and hold it to the task's environment.

    Raises:
        UsageError: there is no data set at the path.
        DatasetError: it is damaged, or its dimensions do not fit the task.
    """
    from kinoise.datasets.inspection import check_against
    from kinoise.datasets.replay_buffer import ReplayBuffer

    path = Path(cfg.data.path)
    if not path.exists():
        make = "collect" if cfg.task.expert is not None else "import"
        raise UsageError(f"no data set at '{path}'; make one with `kinoise {make}`")
    buffer = ReplayBuffer.open(path)
    shapes = env_shapes(cfg)
    if shapes is not None:
        spec = {key: shapes[key] for key in (*cfg.task.obs_keys, "action")}
        check_against(buffer, spec, env=f"task '{cfg.task.name}'")
    return buffer


def env_shapes(cfg: DictConfig) -> dict[str, tuple[int, ...]] | None:
    """Return observation key -> shape and "action" -> shape of the task, None without an env."""
    if cfg.task.env is None:
        return None
    env = make_env(cfg.task)()
    try:
        spaces = {key: tuple(space.shape) for key, space in env.observation_space.spaces.items()}
        missing = [key for key in cfg.task.obs_keys if key not in spaces]
        if missing:
            raise UsageError(f"task '{cfg.task.name}' observes {sorted(spaces)}, not {missing}")
        return {**spaces, "action": tuple(env.action_space.shape)}
    finally:
        env.close()


def make_env(task: DictConfig) -> Any:
    """Return the picklable factory of a task's environment."""
    from hydra.utils import instantiate

    if task.env is None:
        raise UsageError(f"task '{task.name}' has no environment to run in; choose another task")
    return instantiate(task.env)


def task_of(cfg: DictConfig, checkpoint: Path) -> DictConfig:
    """Return the task that a verb's configuration names, else the one a checkpoint learned."""
    from kinoise.policy.checkpoint import read_config

    task: DictConfig | None = cfg.get("task")
    return task or OmegaConf.create(dict(read_config(checkpoint)["task"]))


def sampler_of(cfg: DictConfig) -> dict[str, Any] | None:
    """Return the sampler that a verb's configuration names, None for the checkpoint's own."""
    node = OmegaConf.select(cfg, "policy.sampler")
    return None if node is None else plain(node)


def guidance_of(cfg: DictConfig) -> list[Any] | None:
    """Return the guidance that a verb's configuration names, None for the checkpoint's own."""
    node = OmegaConf.select(cfg, "policy.guidance")
    return None if node is None else list(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]


def load_windows(cfg: DictConfig, buffer: ReplayBuffer) -> Loaders:
    """Return the training and validation loaders of a configuration."""
    from hydra.utils import instantiate

    from kinoise.datasets.loader import load_windows

    # By default a chunk may start at every step: what is never seen as the present step, such as
    # the end of a short episode, is never learnt as a place to plan from.
    pad_after = cfg.data.pad_after
    if pad_after is None:
        pad_after = cfg.policy.horizon - cfg.policy.n_obs_steps
    return load_windows(
        buffer,
        obs_keys=list(cfg.task.obs_keys),
        n_obs_steps=cfg.policy.n_obs_steps,
        horizon=cfg.policy.horizon,
        n_action_steps=cfg.policy.n_action_steps,
        batch_size=cfg.data.batch_size,
        seed=cfg.seed,
        padding=cfg.data.padding,
        pad_after=pad_after,
        n_episodes=cfg.data.n_episodes,
        validation_fraction=cfg.data.validation_fraction,
        symmetry=instantiate(cfg.task.symmetry) if cfg.data.use_symmetry else None,
    )


def fill_dimensions(node: Mapping[str, Any], buffer: ReplayBuffer, obs_keys: list[str]) -> Any:
    """Return a policy's configuration node with the data set's dimensions in it."""
    return {
        **node,
        "obs_shapes": {key: list(buffer[key].shape[1:]) for key in obs_keys},
        "action_dim": int(buffer["action"].shape[1]),
    }


def build_policy(
    node: Mapping[str, Any], buffer: ReplayBuffer, loader: WindowLoader, seed: int, device: str
) -> DiffusionPolicy:
    """Build an untrained policy, seeded, its normaliser fitted to what the loader shows it."""
    import torch

    from kinoise.datasets.statistics import compute_statistics
    from kinoise.policy.build import build

    torch.manual_seed(seed)
    policy: DiffusionPolicy = build(node)
    statistics = compute_statistics(buffer, policy.normalizer.keys)
    if loader.symmetry is not None:
        statistics = loader.symmetry.both(statistics, loader.steps)
    policy.fit_normalizer(statistics)
    return policy.to(device)


def rate_factors(
    node: Mapping[str, Any], policy: DiffusionPolicy, base: Mapping[str, Any] | None
) -> dict[str, float]:
    """Return the factor of every parameter's learning rate, for a rate tuned at another width.

    Args:
        node: the policy's configuration node.
        policy: the policy, built from it.
        base: the network's settings at which the learning rate was tuned; None for these.
    """
    import torch

    from kinoise.policy.build import build
    from kinoise.policy.networks.scaling import learning_rate_factors

    if base is None:
        return {}
    with torch.device("meta"):
        tuned = build({**node["network"], **base})(
            action_dim=policy.action_dim,
            horizon=policy.horizon,
            cond_dim=policy.encoder.output_dim,
            n_obs_steps=policy.n_obs_steps,
        )
    factors = learning_rate_factors(policy.network, tuned)
    return {f"network.{name}": factor for name, factor in factors.items()}


def load_controller(
    checkpoint: str,
    sampler: Mapping[str, Any] | None = None,
    guidance: Sequence[Any] | None = None,
    batch_size: int = 1,
    device: str = "cpu",
) -> RecedingHorizonController:
    """Load a checkpoint as a controller that computes on one thread, reproducibly."""
    import torch

    from kinoise.policy import load_policy
    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    # The number of threads changes the rounding of a matmul, and so the episodes.
    torch.set_num_threads(1)
    policy = load_policy(checkpoint, sampler=sampler, guidance=guidance, device=device)
    return RecedingHorizonController.of(policy, batch_size)


def controller_factory(checkpoint: str | Path, **choices: Any) -> Any:
    """Return a picklable factory of controllers for rollout workers (see `load_controller`)."""
    return partial(load_controller, str(checkpoint), **choices)


def run_folder(checkpoint: Path) -> Path:
    """Return the run a checkpoint belongs to, or the checkpoint itself where it stands alone."""
    parent = checkpoint.resolve().parent
    return parent.parent if parent.name == "checkpoints" else checkpoint

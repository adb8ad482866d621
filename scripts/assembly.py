"""Put the three rooms together: data set + configuration -> policy; checkpoint -> controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from .errors import UsageError
from .tasks import TaskSettings, env_shapes

if TYPE_CHECKING:
    from kinoise.datasets.loader import Loaders, WindowLoader
    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.policy.control.receding_horizon import RecedingHorizonController
    from kinoise.policy.diffusion_policy import DiffusionPolicy


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as resolved dicts, lists and scalars."""
    tree: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return tree


def open_data(cfg: DictConfig, task: TaskSettings) -> ReplayBuffer:
    """Open the data set of a training configuration and hold it to the task's environment.

    Raises:
        UsageError: there is no data set at the path.
        DatasetError: it is damaged, or its dimensions do not fit the task.
    """
    from kinoise.datasets.inspection import check_against
    from kinoise.datasets.storage import ReplayBuffer

    path = Path(cfg.data.path)
    if not path.exists():
        make = "collect" if task.spec is not None and task.spec.expert is not None else "import"
        raise UsageError(f"no data set at '{path}'; make one with `kinoise {make}`")
    buffer = ReplayBuffer.open(path)
    shapes = env_shapes(task)
    if shapes is not None:
        spec = {key: shapes[key] for key in (*task.obs_keys, "action")}
        check_against(buffer, spec, env=f"task '{task.name}'")
    return buffer


def literal(tree: Any) -> Any:
    """Return a foreign configuration in which OmegaConf finds nothing to resolve: text stays text.

    Args:
        tree: plain dicts, lists and scalars, of a checkpoint for example.
    """
    if isinstance(tree, dict):
        return {key: literal(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [literal(value) for value in tree]
    return tree.replace("${", "\\${") if isinstance(tree, str) else tree


def sampler_of(cfg: DictConfig) -> dict[str, Any] | None:
    """Return the sampler that a verb's configuration names, None for the checkpoint's own."""
    node = OmegaConf.select(cfg, "policy.sampler")
    return None if node is None else plain(node)


def guidance_of(cfg: DictConfig) -> list[Any] | None:
    """Return the guidance that a verb's configuration names, None for the checkpoint's own."""
    node = OmegaConf.select(cfg, "policy.guidance")
    return None if node is None else list(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]


def load_windows(cfg: DictConfig, buffer: ReplayBuffer, task: TaskSettings) -> Loaders:
    """Return the training and validation loaders of a configuration."""
    from kinoise.datasets.loader import load_windows

    # By default a chunk may start at every step: what is never seen as the present step, such as
    # the end of a short episode, is never learnt as a place to plan from.
    pad_after = cfg.data.pad_after
    if pad_after is None:
        pad_after = cfg.policy.horizon - cfg.policy.n_obs_steps
    symmetry = None if task.spec is None else task.spec.symmetry
    return load_windows(
        buffer,
        obs_keys=task.obs_keys,
        n_obs_steps=cfg.policy.n_obs_steps,
        horizon=cfg.policy.horizon,
        n_action_steps=cfg.policy.n_action_steps,
        batch_size=cfg.data.batch_size,
        seed=cfg.seed,
        padding=cfg.data.padding,
        pad_after=pad_after,
        n_episodes=cfg.data.n_episodes,
        validation_fraction=cfg.data.validation_fraction,
        symmetry=symmetry() if symmetry is not None and cfg.data.use_symmetry else None,
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

    from kinoise.datasets.moments import compute_moments
    from kinoise.policy import load_policy
    from kinoise.policy.build import build
    from kinoise.policy.training.couplings import Reflow

    torch.manual_seed(seed)
    policy: DiffusionPolicy = build(node)
    if isinstance(policy.coupling, Reflow):
        teacher = load_policy(policy.coupling.teacher, device=device)
        policy.coupling = policy.coupling.taught_by(teacher)

    moments = compute_moments(
        buffer,
        policy.normalizer.keys,
        episodes=loader.windows.episodes,
        symmetry=loader.symmetry,
    )
    policy.fit_normalizer(moments)
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
    """Load a checkpoint as a controller (see `RecedingHorizonController`)."""
    from kinoise.policy import load_policy
    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    policy = load_policy(checkpoint, sampler=sampler, guidance=guidance, device=device)
    return RecedingHorizonController.of(policy, batch_size=batch_size)


def controller_factory(checkpoint: str | Path, **choices: Any) -> Any:
    """Return a picklable factory of controllers for rollout workers (see `load_controller`)."""
    return partial(load_controller, str(checkpoint), **choices)


def run_folder(checkpoint: Path) -> Path:
    """Return the run a checkpoint belongs to, or the checkpoint itself where it stands alone."""
    parent = checkpoint.resolve().parent
    return parent.parent if parent.name == "checkpoints" else checkpoint

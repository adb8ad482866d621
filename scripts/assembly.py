"""Put the three rooms together: data set + configuration -> policy; checkpoint -> controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command.errors import UsageError
from .command.nodes import check_node
from .command.settings import plain as plain
from .tasks import TaskSettings, env_shapes

if TYPE_CHECKING:
    from kinoise.datasets.loader import Loaders, WindowLoader
    from kinoise.datasets.storage import ReplayBuffer
    from kinoise.policy.control.receding_horizon import RecedingHorizonController
    from kinoise.policy.diffusion_policy import DiffusionPolicy


#: What torch and arithmetic raise where sizes do not fit together.
BUILD_FAULTS = (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError)
#: Parameters of a policy's parts that follow from the data set and from one another.
GIVEN = {
    "policy": ("obs_shapes", "action_dim"),
    "policy.encoder": ("shapes",),
    "policy.encoder.state": ("shapes",),
    "policy.encoder.image": ("shapes",),
    "policy.network": ("action_dim", "horizon", "cond_dim", "n_obs_steps"),
}


@dataclass(frozen=True)
class Choices:
    """What a verb may choose anew for a trained policy; None leaves the checkpoint's own."""

    sampler: Mapping[str, Any] | None = None
    guidance: Sequence[Any] | None = None
    execution: Mapping[str, Any] | None = None

    def checked(self) -> Choices:
        """Return the choices held to the constructors that they will be given to.

        Raises:
            UsageError: a setting that one of them does not have or allow.
        """
        if self.sampler is not None and "_target_" not in self.sampler:
            raise UsageError("policy.sampler is no sampler; choose one by sampler=NAME")
        return Choices(
            check_node(self.sampler, "policy.sampler"),
            check_node(self.guidance, "policy.guidance"),
            check_node(self.execution, "policy.execution"),
        )


def check_policy(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy's configuration node held to the constructors that it names.

    Raises:
        UsageError: a setting that one of them does not have or allow.
    """
    checked: dict[str, Any] = check_node(node, "policy", GIVEN)
    return checked


def check_base_network(node: Mapping[str, Any], base: Mapping[str, Any] | None) -> None:
    """Hold the settings at which a learning rate was tuned to those that the network has.

    Raises:
        UsageError: a setting that the network does not have or allow.
    """
    if base is not None:
        check_node(
            {**node["network"], **base}, "base_network", {"base_network": GIVEN["policy.network"]}
        )


def check_choices(
    checkpoint: Path,
    choices: Choices,
    n_action_steps: int | None = None,
    *,
    compare_plans: bool = False,
) -> DiffusionPolicy:
    """Return the policy with other choices, before a process is started that would fail on them.

    Raises:
        UsageError, PolicyError: they do not fit the policy.
    """
    from kinoise.policy import load_policy
    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    try:
        policy = load_policy(checkpoint, **vars(choices))
    except BUILD_FAULTS as error:
        raise UsageError(f"the policy cannot take these settings: {error}") from error
    set_action_steps(policy, n_action_steps)
    RecedingHorizonController.from_policy(policy, compare_plans=compare_plans)
    return policy


def open_data(cfg: Any, task: TaskSettings) -> ReplayBuffer:
    """Open the data set of a training's settings and hold it to the task's environment.

    Args:
        cfg: the settings, or the configuration that a checkpoint keeps of them.
        task: what is learnt.

    Raises:
        UsageError: there is no data set at the path.
        DatasetError: it is damaged, or its dimensions do not fit the task.
    """
    from kinoise.datasets.inspection import check_against
    from kinoise.datasets.storage import ReplayBuffer

    path = Path(cfg.data.path)
    if not path.exists():
        made = "`kinoise import`"
        if task.spec is not None and task.spec.expert is not None:
            made = f"`kinoise collect task={task.name}`"
        elif task.env_id is None:
            made = "`kinoise import` or `kinoise collect`"
        raise UsageError(f"no data set at '{path}'; make one with {made}")
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


def load_windows(cfg: Any, buffer: ReplayBuffer, task: TaskSettings) -> Loaders:
    """Return the training and validation loaders of a training's settings."""
    from kinoise.datasets.loader import load_windows

    # By default a chunk may start at every step: what is never seen as the present step, such as
    # the end of a short episode, is never learnt as a place to plan from.
    pad_after = cfg.data.pad_after
    if pad_after is None:
        pad_after = cfg.policy["horizon"] - cfg.policy["n_obs_steps"]
    symmetry = None if task.spec is None else task.spec.symmetry
    return load_windows(
        buffer,
        obs_keys=task.obs_keys,
        n_obs_steps=cfg.policy["n_obs_steps"],
        horizon=cfg.policy["horizon"],
        n_action_steps=cfg.policy["n_action_steps"],
        batch_size=cfg.data.batch_size,
        seed=cfg.seed,
        padding=cfg.data.padding,
        pad_after=pad_after,
        n_episodes=cfg.data.n_episodes,
        validation_fraction=cfg.data.validation_fraction,
        symmetry=symmetry() if cfg.data.use_symmetry and symmetry is not None else None,
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

    from kinoise.policy import load_policy
    from kinoise.policy.build import build
    from kinoise.policy.training.couplings import Reflow

    torch.manual_seed(seed)
    try:
        policy: DiffusionPolicy = build(node)
    except BUILD_FAULTS as error:
        raise UsageError(f"no policy can be built of these settings: {error}") from error
    if isinstance(policy.coupling, Reflow):
        teacher = load_policy(policy.coupling.teacher)
        _check_teacher(node, policy.coupling.teacher)
        _start_from(teacher, policy)
        policy.coupling = policy.coupling.taught_by(teacher.to(device))

    policy.fit_normalizer(_moments(policy, buffer, loader))
    return policy.to(device)


def _check_teacher(node: Mapping[str, Any], teacher: str) -> None:
    """Refuse a teacher whose network has other numbers than the student's.

    Raises:
        UsageError: its transforms are others.
    """
    from kinoise.policy.checkpoints import read_config

    def listed(transforms: Any) -> list[Any]:
        return list(transforms.values() if isinstance(transforms, Mapping) else transforms or [])

    theirs = read_config(teacher)["policy"].get("transforms")
    if listed(theirs) != listed(node.get("transforms")):
        raise UsageError(
            f"the teacher '{teacher}' was trained with other transforms; give the student the same"
        )


def _start_from(teacher: DiffusionPolicy, student: DiffusionPolicy) -> None:
    """Give the student its teacher's weights where both networks are read in the same way.

    The teacher's flow is then only to be straightened, which takes fewer steps than learning it.
    """
    theirs, own = teacher.denoiser, student.denoiser
    if (theirs.path, theirs.target) != (own.path, own.target):
        return
    kept = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith("normalizer.")
    }
    fresh = student.state_dict()
    if all(name in fresh and fresh[name].shape == value.shape for name, value in kept.items()):
        student.load_state_dict(kept, strict=False)


def _moments(
    policy: DiffusionPolicy, buffer: ReplayBuffer, loader: WindowLoader
) -> Mapping[str, Mapping[str, Any]]:
    """Return the statistics of what the policy normalises, of all that the loader shows it.

    Transformed values have other ranges than recorded ones, and may depend on the window.
    """
    from kinoise.datasets.moments import compute_moments, stream_moments

    keys = policy.normalizer.keys
    if not len(policy.transforms):
        return compute_moments(
            buffer, keys, episodes=loader.windows.episodes, symmetry=loader.symmetry
        )
    # Pictures are not looked at, unless the windows hold nothing else.
    vectors = [key for key in keys if key != "action"] or list(policy.obs_shapes)
    written = (policy.border.watch(batch) for batch in loader.shown(vectors))
    return stream_moments({key: rows.numpy() for key, rows in each.items()} for each in written)


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
            action_dim=policy.border.action_dim,
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
    execution: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    device: str = "cpu",
    n_action_steps: int | None = None,
    compare_plans: bool = False,
) -> RecedingHorizonController:
    """Load a checkpoint as a controller (see `RecedingHorizonController`).

    Args:
        checkpoint: its folder, or that of its run.
        sampler: another sampler than the stored one, as a configuration node.
        guidance: other edits of the x_0 estimate than the stored ones, as nodes.
        execution: another way to execute chunks than the stored one, as a node.
        batch_size: episodes of every call of the policy.
        device: where the policy computes.
        n_action_steps: Ta, actions executed of a chunk; None for the policy's own.
        compare_plans: measure how well successive plans agree; the actions stay the same.
    """
    from kinoise.policy import load_policy
    from kinoise.policy.control.receding_horizon import RecedingHorizonController

    policy = load_policy(
        checkpoint, device=device, sampler=sampler, guidance=guidance, execution=execution
    )
    set_action_steps(policy, n_action_steps)
    return RecedingHorizonController.from_policy(
        policy, batch_size=batch_size, compare_plans=compare_plans
    )


def set_action_steps(policy: DiffusionPolicy, n_action_steps: int | None) -> None:
    """Let a policy execute another number of actions of each chunk; None leaves its own.

    Raises:
        UsageError: the chunk is too short, or the policy was trained to start from the rest of it.
    """
    if n_action_steps is None or n_action_steps == policy.n_action_steps:
        return
    most = policy.horizon - policy.n_obs_steps + 1
    if n_action_steps > most:
        raise UsageError(
            f"n_action_steps is {n_action_steps}; a chunk of {policy.horizon} steps after "
            f"{policy.n_obs_steps} observations holds {most} to execute; give 1 to {most}"
        )
    if policy.path.has_base:
        raise UsageError(
            f"this policy starts from what {policy.n_action_steps} executed steps leave of a "
            "chunk; leave n_action_steps as trained"
        )
    policy.n_action_steps = n_action_steps


def controller_factory(checkpoint: str | Path, **choices: Any) -> Any:
    """Return a picklable factory of controllers for rollout workers (see `load_controller`)."""
    return partial(load_controller, str(checkpoint), **choices)


def run_folder(checkpoint: Path) -> Path:
    """Return the run a checkpoint belongs to, or the checkpoint itself where it stands alone."""
    parent = checkpoint.resolve().parent
    return parent.parent if parent.name == "checkpoints" else checkpoint

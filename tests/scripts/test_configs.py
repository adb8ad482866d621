"""Every option of every slot composes and builds."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from kinoise.policy import PolicyError
from kinoise.policy.build import build
from kinoise.policy.sampling.registry import SOLVERS
from kinoise.scripts import assembly, tasks
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.verbs import VERBS

GROUPS = catalogue.groups()
POLICY_SLOTS = (
    "encoder",
    "network",
    "path",
    "objective",
    "target",
    "time",
    "weight",
    "coupling",
    "sampler",
    "guidance",
    "execution",
    "transform",
    "optimizer",
)
CHOICES = [(slot, option) for slot in POLICY_SLOTS for option in GROUPS[slot]]


def _transform(name: str, **settings: object) -> list[str]:
    """Return the overrides that say what a transform is for."""
    return [f"policy.transforms.{name}.{key}={value}" for key, value in settings.items()]


#: A network that predicts noise says nothing of x_0 where alpha vanishes: start later.
COMPANIONS = {
    "epsilon": ["policy.sampler.grid.start=0.99"],
    "score": ["policy.sampler.grid.start=0.99"],
    # Its teacher is a checkpoint; tests/policy/training/test_couplings.py trains one.
    "reflow": ["policy.coupling=null"],
    # The shipped limits are those of a task whose actions have two dimensions, as here.
    "forbidden_disc": ["limits=push_t"],
    "joint_limits": ["limits=push_t"],
    "max_step": ["limits=push_t"],
    "outside_disc": ["limits=push_t"],
    "workspace": ["limits=push_t"],
    # Which columns mean what is the data's to say.
    "sin_cos": _transform("sin_cos", key="state", columns=[2]),
    "relative_to_now": _transform(
        "relative_to_now", key="state", columns=[[2, 3]], reference_columns=[0, 1]
    ),
    "relative_to_goal": _transform(
        "relative_to_goal", key="state", columns=[[0, 1]], reference_columns=[2, 3]
    ),
    "relative_action": _transform("relative_action", key="state", key_columns=[0], columns=[1]),
    "delta_action": _transform("delta_action", key="state", key_columns=[0, 1], columns=[0, 1]),
    "cumulative_action": _transform("cumulative_action", columns=[0, 1]),
    "recovery": _transform("recovery", key="state", key_columns=[0, 1], columns=[0, 1]),
}
SHAPES = {"state": {"state": [5]}, "image": {"state": [5], "image_front": [64, 64, 3]}}


@pytest.mark.parametrize(("slot", "option"), CHOICES, ids=lambda value: str(value))
def test_every_option_of_a_slot_builds_a_policy_that_trains_and_samples(
    slot: str, option: str
) -> None:
    cfg = compose("train", [f"{slot}={option}", *COMPANIONS.get(option, [])])
    node = assembly.plain(cfg.policy)
    shapes = SHAPES["image" if option == "image" else "state"]
    if option == "image":
        node["encoder"]["image"]["width"] = 8
    torch.manual_seed(0)
    described = {**node, "obs_shapes": shapes, "action_dim": 2}
    if slot == "sampler" and SOLVERS[node["sampler"]["solver"]].jumps:
        with pytest.raises(PolicyError, match="jump to the data"):
            build(described)
        return
    policy = build(described)
    pixels = torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8)
    obs = {k: torch.randn(2, 2, 5) if k == "state" else pixels for k in shapes}
    loss = policy.compute_loss({"obs": obs, "action": torch.randn(2, 16, 2)})
    assert torch.isfinite(loss)
    assert policy.eval().sample(obs).shape == (2, 16, 2)


@pytest.mark.parametrize("task", [task for task in GROUPS["task"] if task != "from_data"])
def test_every_task_makes_its_environment_and_expert(task: str) -> None:
    settings = tasks.task_of(compose("collect", [f"task={task}"]))
    shapes = tasks.env_shapes(settings)
    assert shapes is not None
    assert set(settings.obs_keys) <= set(shapes)
    assert settings.spec is not None
    if settings.spec.expert is not None:
        assert callable(settings.spec.expert())


@pytest.mark.parametrize("experiment", GROUPS["experiment"])
def test_every_experiment_composes(experiment: str) -> None:
    cfg = compose("train", [f"experiment={experiment}"])
    assert OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_a_config(verb: str) -> None:
    compose(verb)


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group in GROUPS for option in GROUPS[group]]
)
def test_every_option_says_what_it_is(group: str, option: str) -> None:
    assert catalogue.description(catalogue.config_folder() / group / f"{option}.yaml")

"""A policy small enough to train in a test, and data for it."""

from __future__ import annotations

from typing import Any

import torch

from kinoise.policy.build import build
from kinoise.policy.diffusion_policy import DiffusionPolicy

NETWORKS: dict[str, dict[str, Any]] = {
    "residual_mlp": {
        "_target_": "kinoise.policy.networks.ResidualMLP",
        "width": 32,
        "depth": 2,
        "cond_embed_dim": 16,
        "time_embed_dim": 8,
        "time_dim": 16,
        "token_dim": 8,
    },
    "unet1d": {
        "_target_": "kinoise.policy.networks.ConditionalUnet1D",
        "down_dims": [16, 32],
        "n_groups": 4,
        "time_dim": 16,
    },
    "dit": {
        "_target_": "kinoise.policy.networks.DiT",
        "width": 32,
        "depth": 2,
        "n_heads": 2,
        "time_dim": 16,
    },
    "dit_in_context": {
        "_target_": "kinoise.policy.networks.InContextDiT",
        "width": 32,
        "depth": 2,
        "n_heads": 2,
        "time_dim": 16,
    },
    "dit_cross_attention": {
        "_target_": "kinoise.policy.networks.CrossAttentionDiT",
        "width": 32,
        "depth": 2,
        "n_heads": 2,
        "time_dim": 16,
    },
    "transformer": {
        "_target_": "kinoise.policy.networks.Transformer",
        "width": 32,
        "depth": 2,
        "n_heads": 2,
    },
    "mixer": {
        "_target_": "kinoise.policy.networks.Mixer",
        "width": 32,
        "depth": 2,
        "token_hidden_dim": 16,
        "time_dim": 16,
    },
    "concatenation_mlp": {
        "_target_": "kinoise.policy.networks.ConcatenationMLP",
        "width": 32,
        "depth": 2,
        "time_dim": 16,
        "token_dim": 8,
    },
}


def objective(target: str) -> dict[str, Any]:
    """Return the node of the plain squared error of a target."""
    return {"_target_": "kinoise.policy.training.objectives.Denoising", "target": target}


OBS_SHAPES = {"agent_pos": [2], "keypoint": [3, 2]}
IMAGE_SHAPES = {"agent_pos": [2], "image_front": [64, 64, 3]}


def node(network: str = "residual_mlp", **changes: Any) -> dict[str, Any]:
    """Return the configuration node of a tiny policy."""
    return {
        "_target_": "kinoise.policy.DiffusionPolicy",
        "obs_shapes": OBS_SHAPES,
        "action_dim": 2,
        "horizon": 8,
        "n_obs_steps": 2,
        "n_action_steps": 4,
        "encoder": {"_target_": "kinoise.policy.encoders.StateEncoder", "_partial_": True},
        "network": {**NETWORKS[network], "_partial_": True},
        "path": {"_target_": "kinoise.policy.paths.LinearFlow"},
        "objective": {
            "_target_": "kinoise.policy.training.objectives.Denoising",
            "target": "velocity",
        },
        "sampler": {
            "_target_": "kinoise.policy.sampling.Sampler",
            "solver": "flow_euler",
            "n_steps": 4,
        },
        **changes,
    }


def image_node() -> dict[str, Any]:
    """Return the node of a policy that also sees a camera."""
    factory = "kinoise.policy.encoders"
    return node(
        obs_shapes=IMAGE_SHAPES,
        encoder={
            "_target_": f"{factory}.composite.CompositeEncoder",
            "_partial_": True,
            "state": {"_target_": f"{factory}.state.StateEncoder", "_partial_": True},
            "image": {
                "_target_": f"{factory}.image.ImageEncoder",
                "_partial_": True,
                "width": 8,
                "feature_dim": 8,
                "n_keypoints": 4,
            },
        },
    )


def policy(network: str = "residual_mlp", **changes: Any) -> DiffusionPolicy:
    """Return an untrained tiny policy with seeded, non-zero weights and a fitted normaliser."""
    torch.manual_seed(0)
    built: DiffusionPolicy = build(node(network, **changes))
    return randomised(built)


def randomised(built: DiffusionPolicy) -> DiffusionPolicy:
    """Give every weight a value: networks start at zero output, which would hide mistakes."""
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    built.fit_normalizer(statistics(built))
    return built


def statistics(built: DiffusionPolicy) -> dict[str, Any]:
    """Return made-up statistics: every dimension lies between -2 and 4."""
    shapes = {**built.obs_shapes, "action": (built.action_dim,)}
    return {
        key: {
            "min": torch.full(shape, -2.0),
            "max": torch.full(shape, 4.0),
            "mean": torch.full(shape, 1.0),
            "std": torch.full(shape, 2.0),
        }
        for key, shape in shapes.items()
    }


def batch(
    number: int, size: int = 16, shapes: dict[str, list[int]] | None = None
) -> dict[str, Any]:
    """Return training batch `number`, a pure function of it."""
    generator = torch.Generator().manual_seed(number)

    def value(shape: list[int]) -> torch.Tensor:
        if len(shape) == 3:
            return torch.randint(0, 256, (size, 2, *shape), generator=generator, dtype=torch.uint8)
        return torch.randn(size, 2, *shape, generator=generator)

    obs = {key: value(shape) for key, shape in (shapes or OBS_SHAPES).items()}
    drift = torch.linspace(0, 1, 8)[None, :, None]
    return {
        "obs": obs,
        "action": obs["agent_pos"][:, -1:] + drift,
        "mask": torch.ones(size, 8, dtype=torch.bool),
    }

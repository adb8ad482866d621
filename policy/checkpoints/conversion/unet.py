"""ConditionalUnet1D of Diffusion Policy, as our ConditionalUnet1D."""

from __future__ import annotations

import re
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import PolicyError
from ...networks.conditional_unet1d import ConditionalUnet1D
from .source import KIND, Source

_TARGET = f"{ConditionalUnet1D.__module__}.{ConditionalUnet1D.__qualname__}"
_N_GROUPS = 8
#: (pattern of a published name, our name) of the tensors outside the residual blocks.
_RULES = [
    (rf"diffusion_step_encoder\.1\.{KIND}", r"time.input.\1"),
    (rf"diffusion_step_encoder\.3\.{KIND}", r"time.output.\1"),
    (rf"down_modules\.(\d+)\.2\.conv\.{KIND}", r"down.\1.downsample.\2"),
    (rf"up_modules\.(\d+)\.2\.conv\.{KIND}", r"up.\1.upsample.\2"),
    (rf"final_conv\.0\.block\.([01])\.{KIND}", r"head.\1.\2"),
    (rf"final_conv\.1\.{KIND}", r"output.\1"),
]
#: The same for the tensors of one residual block, without the block's own name.
_BLOCK_RULES = [
    (rf"blocks\.0\.block\.([01])\.{KIND}", r"before.\1.\2"),
    (rf"blocks\.1\.block\.([01])\.{KIND}", r"after.\1.\2"),
    (rf"residual_conv\.{KIND}", r"skip.\1"),
]


def convert_unet(
    source: Source, horizon: int, n_obs_steps: int, time_scale: float
) -> tuple[dict[str, Any], dict[str, int], dict[str, Tensor]]:
    """Take every tensor of a U-Net; return configuration node, dimensions and state dict.

    Without `cond_predict_scale` the published FiLM only adds: its scales are ones.

    Args:
        source: the tensors of the checkpoint.
        horizon: H.
        n_obs_steps: To.
        time_scale: what t in [0, 1] is multiplied by to give the checkpoint's timestep.

    Raises:
        PolicyError: local conditions, no global one, or one that n_obs_steps does not divide.
    """
    if any(name.startswith("local_cond_encoder.") for name in source.left):
        raise PolicyError("cannot carry over 'local_cond_encoder': our U-Net has global conditions")

    weights = source.rename(_RULES)
    time_dim = len(weights["time.output.weight"])

    films = []
    for theirs, ours in _blocks(source):
        old = re.escape(f"{theirs}.")
        renamed = source.rename([(old + rule, f"{ours}.{name}") for rule, name in _BLOCK_RULES])
        channels = len(renamed[f"{ours}.before.0.weight"])
        films.append(_film(*source.take_affine(f"{theirs}.cond_encoder.1"), channels))
        weights |= renamed

    # Ours holds the FiLM layers of all blocks in one, split by time and observation.
    film = torch.cat([weight for weight, _ in films])
    weights["time_film.weight"] = film[:, :time_dim].contiguous()
    weights["time_film.bias"] = torch.cat([bias for _, bias in films])
    weights["cond_film.weight"] = film[:, time_dim:].contiguous()

    global_dim = film.shape[1] - time_dim
    if global_dim == 0 or global_dim % n_obs_steps:
        raise PolicyError(
            f"cannot convert: the U-Net's global condition has {global_dim} numbers, which "
            f"n_obs_steps={n_obs_steps} observations do not fill"
        )

    first = [name for name in weights if re.fullmatch(r"down\.\d+\.first\.before\.0\.weight", name)]
    node = {
        "_target_": _TARGET,
        "down_dims": [len(weights[name]) for name in first],
        "kernel_size": weights["head.0.weight"].shape[2],
        "n_groups": _N_GROUPS,
        "time_dim": time_dim,
        "time_scale": time_scale,
    }
    dims = {
        "action_dim": len(weights["output.weight"]),
        "horizon": horizon,
        "cond_dim": global_dim // n_obs_steps,
        "n_obs_steps": n_obs_steps,
    }
    return node, dims, weights


def _blocks(source: Source) -> list[tuple[str, str]]:
    """Return (their name, our name) of each residual block, in the order of evaluation."""
    levels: dict[str, list[tuple[str, str]]] = {"down": [], "up": []}
    for way, found in levels.items():
        pattern = re.compile(rf"{way}_modules\.(\d+)\.0\.cond_encoder\.1\.weight")
        indices = sorted(int(m[1]) for name in source.left if (m := pattern.fullmatch(name)))
        for i in indices:
            found += [
                (f"{way}_modules.{i}.0", f"{way}.{i}.first"),
                (f"{way}_modules.{i}.1", f"{way}.{i}.second"),
            ]

    middle = [(f"mid_modules.{i}", f"middle.{i}") for i in range(2)]
    return [*levels["down"], *middle, *levels["up"]]


def _film(
    weight: Float[Tensor, "rows dim"], bias: Float[Tensor, "rows"], channels: int
) -> tuple[Float[Tensor, "{2*channels} dim"], Float[Tensor, "{2*channels}"]]:
    """Return a FiLM layer whose rows are those of the scales, then those of the biases."""
    if len(bias) == 2 * channels:
        return weight, bias
    return torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.ones_like(bias), bias])

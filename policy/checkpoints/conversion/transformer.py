"""TransformerForDiffusion of Diffusion Policy, as our Transformer."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from ...errors import PolicyError
from ...networks.transformer import Transformer
from .source import KIND, Source

_TARGET = f"{Transformer.__module__}.{Transformer.__qualname__}"
#: (pattern of a published name, our name) of the tensors outside the layers.
_RULES = [
    (rf"input_emb\.{KIND}", r"input.\1"),
    (r"pos_emb", r"position"),
    (rf"cond_obs_emb\.{KIND}", r"cond.\1"),
    (r"cond_pos_emb", r"memory_position"),
    (rf"encoder\.([02])\.{KIND}", r"token.\1.\2"),
    (rf"ln_f\.{KIND}", r"norm.\1"),
    (rf"head\.{KIND}", r"output.\1"),
]
#: The same for the tensors of one layer, without the layer's own name. The norm before the
#: perceptron is the last one of a layer: `norm2` in the encoder, `norm3` in the decoder.
_LAYER_RULES = [
    (rf"self_attn\.in_proj_{KIND}", r"qkv.\1"),
    (rf"self_attn\.out_proj\.{KIND}", r"project.\1"),
    (rf"norm1\.{KIND}", r"attention_norm.\1"),
    (rf"linear1\.{KIND}", r"expand.\1"),
    (rf"linear2\.{KIND}", r"contract.\1"),
]
_ENCODER_RULES = [*_LAYER_RULES, (rf"norm2\.{KIND}", r"mlp_norm.\1")]
_DECODER_RULES = [
    *_LAYER_RULES,
    (rf"norm2\.{KIND}", r"cross_norm.\1"),
    (rf"norm3\.{KIND}", r"mlp_norm.\1"),
    (rf"multihead_attn\.out_proj\.{KIND}", r"cross_project.\1"),
]


def convert_transformer(
    source: Source, n_heads: int, time_scale: float
) -> tuple[dict[str, Any], dict[str, int], dict[str, Tensor]]:
    """Take every tensor of a transformer; return configuration node, dimensions and state dict.

    Args:
        source: the tensors of the checkpoint.
        n_heads: attention heads.
        time_scale: what t in [0, 1] is multiplied by to give the checkpoint's timestep.

    Raises:
        PolicyError: the observations or the time are not in the memory (`obs_as_cond` or
            `time_as_cond` false).
    """
    if (
        "cond_obs_emb.weight" not in source.left
        or "decoder.layers.0.norm1.weight" not in source.left
    ):
        raise PolicyError(
            "cannot convert: the transformer has no decoder with observations in its memory "
            "(time_as_cond and obs_as_cond)"
        )
    # Constant masks, which are there if attention is causal.
    causal = source.left.pop("mask", None) is not None
    source.left.pop("memory_mask", None)

    weights = source.rename(_RULES)
    width = len(weights["input.bias"])
    n_cond_layers = _rename_layers(source, weights, "encoder", "memory", _ENCODER_RULES)
    depth = _rename_layers(source, weights, "decoder", "blocks", _DECODER_RULES)

    # Ours projects the memory to the keys and values of all layers at once.
    keys_values = []
    for i in range(depth):
        name = f"decoder.layers.{i}.multihead_attn.in_proj"
        for kind in ("weight", "bias"):
            query, rest = source.take(f"{name}_{kind}").tensor_split([width])
            weights[f"blocks.{i}.query.{kind}"] = query.contiguous()
            keys_values.append(rest)

    stem = f"memory.{n_cond_layers}" if n_cond_layers else "token.3"
    weights[f"{stem}.weight"] = torch.cat(keys_values[0::2])
    weights[f"{stem}.bias"] = torch.cat(keys_values[1::2])

    node = {
        "_target_": _TARGET,
        "width": width,
        "depth": depth,
        "n_heads": n_heads,
        "n_cond_layers": n_cond_layers,
        "causal": causal,
        "time_scale": time_scale,
    }
    dims = {
        "action_dim": len(weights["output.bias"]),
        "horizon": weights["position"].shape[1],
        "cond_dim": weights["cond.weight"].shape[1],
        "n_obs_steps": weights["memory_position"].shape[1] - 1,
    }
    return node, dims, weights


def _rename_layers(
    source: Source,
    weights: dict[str, Tensor],
    theirs: str,
    ours: str,
    rules: list[tuple[str, str]],
) -> int:
    """Move the layers of one stack into `weights`; return their number."""
    pattern = re.compile(rf"{theirs}\.layers\.(\d+)\.norm1\.weight")
    count = sum(pattern.fullmatch(name) is not None for name in source.left)
    for i in range(count):
        old = re.escape(f"{theirs}.layers.{i}.")
        weights |= source.rename([(old + rule, f"{ours}.{i}.{new}") for rule, new in rules])
    return count

"""Read a public checkpoint and convert what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...build import build
from ...errors import PolicyError
from ..reading import read_tensors
from .source import Source
from .transformer import convert_transformer
from .unet import convert_unet

#: Tensors of a whole policy that hold nothing learned.
_EMPTY = ("_dummy_variable", "mask_generator.")


@dataclass(frozen=True)
class Converted:
    """A network of this package with the weights of a public checkpoint.

    Attributes:
        network: its configuration node, as under `policy.network`.
        dims: action_dim, horizon, cond_dim and n_obs_steps, which the data give otherwise.
        weights: its state dict.
        normalizer: key -> (centre, scale), where the checkpoint holds a whole policy; normalised
            values are (value - centre) / scale.
        left_over: names of the tensors outside the network that have no place here, such as an
            image encoder's.
    """

    network: dict[str, Any]
    dims: dict[str, int]
    weights: dict[str, Tensor]
    normalizer: dict[str, tuple[Tensor, Tensor]]
    left_over: list[str]

    def build(self) -> Any:
        """Return the network, in evaluation mode, with the weights in it.

        Raises:
            PolicyError: the tensors do not fit together.
        """
        network = build({**self.network, **self.dims, "_partial_": False})
        try:
            network.to(next(iter(self.weights.values())).dtype).load_state_dict(self.weights)
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise PolicyError(f"the checkpoint's tensors do not fit together: {first}") from error
        return network.eval()


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of a .pt, .pth or .ckpt of tensors only.

    Of a training workspace's checkpoint it returns the averaged weights.

    Raises:
        PolicyError: the file is unreadable, or holds Python objects, which are never unpickled.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_tensors(path)

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise PolicyError(f"cannot read '{path}': {error.strerror}") from error
    except Exception as error:  # pickle.UnpicklingError, and whatever a damaged file provokes
        raise PolicyError(
            f"'{path}' is no plain file of tensors, and Python objects are not unpickled here; "
            "if you trust it, save its state_dicts['ema_model'] with safetensors.torch.save_file"
        ) from error

    nested = held.get("state_dicts", {}) if isinstance(held, Mapping) else {}
    held = nested.get("ema_model", nested.get("model", held))
    if not isinstance(held, Mapping) or not all(isinstance(v, Tensor) for v in held.values()):
        raise PolicyError(f"'{path}' holds no state dict: a mapping of names to tensors")
    return dict(held)


def convert_checkpoint(
    state: Mapping[str, Tensor],
    *,
    n_obs_steps: int = 2,
    horizon: int = 16,
    n_heads: int = 4,
    n_timesteps: int = 100,
) -> Converted:
    """Convert the state dict of a public network, or of a public policy around it.

    Integer timestep k of the checkpoint is t = k / (n_timesteps - 1) here. A U-Net's blocks have 8
    groups, as in every published configuration; its final block always has.

    Args:
        state: names and tensors, as `read_state_dict` returns them.
        n_obs_steps: To of a U-Net; that of a Transformer follows from its tensors.
        horizon: H of a U-Net; that of a Transformer follows from its tensors.
        n_heads: attention heads of a Transformer, which do not follow from its tensors.
        n_timesteps: N, `num_train_timesteps` of the checkpoint's noise scheduler.

    Raises:
        PolicyError: it is neither of the two networks, or has parts that cannot be carried over.
    """
    inside, normalizer, left_over = _open(state)
    source = Source(inside)
    time_scale = float(n_timesteps - 1)

    try:
        if "final_conv.1.weight" in inside:
            node, dims, weights = convert_unet(source, horizon, n_obs_steps, time_scale)
        elif "input_emb.weight" in inside:
            node, dims, weights = convert_transformer(source, n_heads, time_scale)
        else:
            raise PolicyError(
                f"cannot convert {len(state)} tensors: they are neither Diffusion Policy's U-Net "
                "nor its transformer, for they lack 'final_conv.1.weight' and 'input_emb.weight'"
            )
    except (KeyError, IndexError, RuntimeError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise PolicyError(f"cannot convert: tensors are missing or misshapen: {first}") from error

    source.check_empty()
    return Converted(
        network={**node, "_partial_": True},
        dims=dims,
        weights=weights,
        normalizer=normalizer,
        left_over=left_over,
    )


def _open(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor]], list[str]]:
    """Split a policy's state dict into the network's tensors, the normalisation and the rest."""
    state = {name: value for name, value in state.items() if not name.startswith(_EMPTY)}
    if not any(name.startswith("model.") for name in state):
        return state, {}, []

    inside = {n.removeprefix("model."): v for n, v in state.items() if n.startswith("model.")}
    inside = {name: value for name, value in inside.items() if not name.startswith(_EMPTY)}
    outside = {n: v for n, v in state.items() if not n.startswith("model.")}

    normalizer = {}
    for name, scale in outside.items():
        # There x * scale + offset, here (x - centre) / scale.
        if match := re.fullmatch(r"normalizer\.params_dict\.(.+)\.scale", name):
            offset = Source(outside).take(name.removesuffix("scale") + "offset")
            normalizer[match.group(1)] = (-offset / scale, 1 / scale)

    left_over = sorted(name for name in outside if not name.startswith("normalizer."))
    return inside, normalizer, left_over

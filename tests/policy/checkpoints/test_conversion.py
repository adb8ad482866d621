"""Converted checkpoints compute what the published modules compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference_transformer import ReferenceTransformer
from reference_unet import ReferenceUnet
from safetensors.torch import save_file
from torch import Tensor, nn

from kinoise.policy.checkpoints.conversion import Converted, convert_checkpoint, read_state_dict
from kinoise.policy.errors import PolicyError
from kinoise.policy.normalizer import Normalizer

B, H, DA, TO, DC, N = 3, 16, 2, 3, 5, 100
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}

UNETS = {
    "one level": {"down_dims": (16,), "predict_scale": True},
    "two levels": {"down_dims": (16, 32), "predict_scale": True},
    "three levels": {"down_dims": (16, 32, 64), "predict_scale": True},
    "wide kernels": {"down_dims": (16, 32), "predict_scale": True, "kernel_size": 5},
    "five levels of equal channels": {"down_dims": (8,) * 5, "predict_scale": True},
    "shifts only": {"down_dims": (16, 32, 64), "predict_scale": False},
}
TRANSFORMERS = {
    f"{n_cond_layers} condition layers, {'causal' if causal else 'full'}": {
        "n_cond_layers": n_cond_layers,
        "causal": causal,
    }
    for n_cond_layers in (0, 1, 2)
    for causal in (True, False)
}


def unet(**changes: Any) -> ReferenceUnet:
    torch.manual_seed(0)
    settings = {"kernel_size": 3, "time_dim": 16, "down_dims": (16, 32), "predict_scale": True}
    return ReferenceUnet(DA, TO * DC, **{**settings, **changes})


def transformer(**changes: Any) -> ReferenceTransformer:
    torch.manual_seed(0)
    settings = {"width": 32, "depth": 3, "n_heads": 4, "n_cond_layers": 0, "causal": True}
    return ReferenceTransformer(DA, H, DC, TO, **{**settings, **changes})


def converted(reference: nn.Module) -> Converted:
    return convert_checkpoint(
        reference.state_dict(), horizon=H, n_obs_steps=TO, n_heads=4, n_timesteps=N
    )


def assert_agreement(reference: nn.Module, dtype: torch.dtype) -> None:
    """Hold a converted network to its reference, over the whole range of timesteps."""
    reference = reference.to(dtype).eval()
    network = converted(reference).build()
    generator = torch.Generator().manual_seed(1)
    k = torch.tensor([0, 1, 2, 17, 50, 98, 99])
    x = torch.randn(len(k), H, DA, generator=generator, dtype=dtype)
    cond = torch.randn(len(k), TO, DC, generator=generator, dtype=dtype)
    flat = cond.flatten(1) if isinstance(reference, ReferenceUnet) else cond
    with torch.no_grad():
        theirs = reference(x, k, flat)
        ours = network(x, k.to(dtype) / (N - 1), cond)
        tokens = (k.to(dtype) / (N - 1))[:, None].expand(-1, H)
        assert torch.equal(network(x, tokens, cond), ours)
    assert theirs.std() > 0.1
    bound = BOUNDS[dtype]
    torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("settings", UNETS.values(), ids=UNETS)
def test_a_converted_unet_computes_what_the_published_one_does(
    settings: dict[str, Any], dtype: torch.dtype
) -> None:
    assert_agreement(unet(**settings), dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("settings", TRANSFORMERS.values(), ids=TRANSFORMERS)
def test_a_converted_transformer_computes_what_the_published_one_does(
    settings: dict[str, Any], dtype: torch.dtype
) -> None:
    assert_agreement(transformer(**settings), dtype)


@pytest.mark.parametrize("reference", [unet(), transformer()], ids=["unet", "transformer"])
def test_the_shapes_are_read_from_the_tensors(reference: nn.Module) -> None:
    found = converted(reference)
    expected = {"action_dim": DA, "horizon": H, "cond_dim": DC, "n_obs_steps": TO}
    assert found.dims == expected
    assert set(found.build().state_dict()) == set(found.weights)
    assert found.left_over == []


def policy_state(network: nn.Module) -> dict[str, Tensor]:
    """As of a whole policy: the network, a normaliser, an image encoder."""
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    for key, dim in {"obs": 5, "action": 2}.items():
        state[f"normalizer.params_dict.{key}.scale"] = torch.rand(dim) + 0.5
        state[f"normalizer.params_dict.{key}.offset"] = torch.randn(dim)
        state[f"normalizer.params_dict.{key}.input_stats.min"] = torch.randn(dim)
    return {
        **state,
        "mask_generator._dummy_variable": torch.empty(0),
        "obs_encoder.obs_nets.image.conv.weight": torch.randn(2, 3),
    }


@pytest.mark.parametrize("reference", [unet(), transformer()], ids=["unet", "transformer"])
def test_the_network_and_normalisation_of_a_whole_policy_are_found(reference: nn.Module) -> None:
    state = policy_state(reference)
    found = convert_checkpoint(state, n_obs_steps=TO, horizon=H)
    assert found.weights.keys() == converted(reference).weights.keys()
    assert found.left_over == ["obs_encoder.obs_nets.image.conv.weight"]
    normalizer = Normalizer({"obs": (5,), "action": (2,)})
    for key, (centre, scale) in found.normalizer.items():
        normalizer.assign(key, centre, scale)
        value = torch.randn(7, len(scale))
        theirs = value * state[f"normalizer.params_dict.{key}.scale"]
        theirs += state[f"normalizer.params_dict.{key}.offset"]
        torch.testing.assert_close(normalizer.normalize(key, value), theirs)


def refused(state: dict[str, Tensor], message: str, **settings: Any) -> None:
    with pytest.raises(PolicyError, match=message) as error:
        convert_checkpoint(state, **{"n_obs_steps": TO, **settings})
    assert "\n" not in str(error.value)


def test_what_cannot_be_carried_over_is_refused_in_one_line() -> None:
    state = unet().state_dict()
    refused({**state, "attention.weight": torch.zeros(1)}, "cannot carry over 'attention.weight'")
    refused({**state, "local_cond_encoder.0.x": torch.zeros(1)}, "local_cond_encoder")
    refused(state, "15 numbers, which n_obs_steps=2", n_obs_steps=2)
    short = {k: v for k, v in state.items() if k != "mid_modules.1.cond_encoder.1.bias"}
    refused(short, "lacks 'mid_modules.1.cond_encoder.1.bias'")
    refused({"weight": torch.zeros(1)}, "1 tensors: they are neither Diffusion Policy's U-Net nor")

    state = transformer().state_dict()
    refused({**state, "decoder.norm.weight": torch.zeros(1)}, "'decoder.norm.weight'")
    blind = {k: v for k, v in state.items() if not k.startswith("cond_obs_emb")}
    refused(blind, "no decoder with observations in its memory")


@pytest.mark.parametrize("reference", [unet(), transformer()], ids=["unet", "transformer"])
@pytest.mark.parametrize("fault", ["missing", "longer", "scalar"])
def test_any_missing_or_misshapen_tensor_is_refused_in_one_line(
    reference: nn.Module, fault: str
) -> None:
    state = policy_state(reference)
    learned = [
        n for n, v in state.items() if n.startswith("model.") and v.numel() and "mask" not in n
    ]
    for name in learned[:: 1 if fault == "missing" else 5]:
        changed = dict(state)
        value = changed.pop(name)
        if fault == "longer":
            changed[name] = torch.cat([value, value])
        elif fault == "scalar":
            changed[name] = torch.tensor(1.0)
        with pytest.raises(PolicyError) as error:
            convert_checkpoint(changed, n_obs_steps=TO).build()
        assert "\n" not in str(error.value)


def test_files_of_tensors_are_read_and_averaged_weights_preferred(tmp_path: Path) -> None:
    state, other = unet().state_dict(), transformer().state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pt")
    nested = {"state_dicts": {"model": other, "ema_model": state, "optimizer": {"lr": 1e-4}}}
    torch.save(nested, tmp_path / "workspace.ckpt")
    for name in ("weights.safetensors", "weights.pt", "workspace.ckpt"):
        read = read_state_dict(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], value) for key, value in state.items())


class Anything:
    """A class that no file may name."""


def test_a_file_with_python_objects_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"cfg": Anything(), "state_dicts": {}}, tmp_path / "pickled.ckpt")
    (tmp_path / "damaged.ckpt").write_bytes(b"not a checkpoint")
    torch.save([1, 2, 3], tmp_path / "list.pt")
    for name, message in {
        "pickled.ckpt": "Python objects are not unpickled here",
        "damaged.ckpt": "no plain file of tensors",
        "list.pt": "holds no state dict",
        "absent.ckpt": "cannot read",
    }.items():
        with pytest.raises(PolicyError, match=message) as error:
            read_state_dict(tmp_path / name)
        assert "\n" not in str(error.value)

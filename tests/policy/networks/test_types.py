"""Every network in other number types, under second derivatives, and with shapes that are wrong."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import tiny
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kinoise.policy.build import build as build_node
from kinoise.policy.networks import Backbone
from kinoise.policy.networks.layers.embeddings import TimeEmbedding, sinusoidal_embedding

B, H, DA, TO, DC = 3, 8, 2, 2, 5

every_network = pytest.mark.parametrize("name", tiny.NETWORKS)


def build(name: str) -> Backbone:
    """The named network with a value in every parameter."""
    torch.manual_seed(0)
    dims = {"action_dim": DA, "horizon": H, "cond_dim": DC, "n_obs_steps": TO}
    network: Backbone = build_node(tiny.NETWORKS[name], **dims)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(B, H, DA, generator=generator)
    t = torch.rand(B, H, generator=generator)
    cond = torch.randn(B, TO, DC, generator=generator)
    return x.to(dtype), t.to(dtype), cond.to(dtype)


@every_network
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("batch", [1, B])
def test_a_cast_network_answers_in_its_own_type_and_nearly_the_same(
    name: str, dtype: torch.dtype, tolerance: float, batch: int
) -> None:
    """The times keep their own type: to bfloat16 they would lose all but two digits."""
    network = build(name)
    x, t, cond = (value[:batch] for value in inputs())
    exact = network(x, t, cond)
    network = network.to(dtype)
    for times in (t, t.double()):
        chunk = network(x.to(dtype), times, cond.to(dtype))
        assert chunk.dtype == dtype
        assert (chunk.to(exact) - exact).norm() < tolerance * exact.norm()


@every_network
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_cast_network_can_be_trained(name: str, dtype: torch.dtype) -> None:
    network = build(name).to(dtype)
    network(*inputs(dtype)).square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    for gradient in gradients:
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


@every_network
@pytest.mark.parametrize("batch", [1, B])
def test_a_network_can_be_differentiated_twice(name: str, batch: int) -> None:
    """Against a difference of first derivatives, which the fused attention does have."""
    network = build(name).double()
    x, t, cond = (value[:batch] for value in inputs(torch.float64))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)

    def slope(x: Tensor, create_graph: bool = False) -> Tensor:
        projected = (direction * network(x, t, cond)).sum()
        return torch.autograd.grad(projected, x, create_graph=create_graph)[0]

    x = x.requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the fused one has no second derivative
        projected = (direction * network(x, t, cond)).sum()
    (first,) = torch.autograd.grad(projected, x, create_graph=True)
    (second,) = torch.autograd.grad((direction * first).sum(), x)

    step = 1e-5 * direction
    difference = (slope(x + step) - slope(x - step)) / 2e-5
    torch.testing.assert_close(second, difference, rtol=1e-5, atol=1e-6)


@every_network
def test_every_network_reads_a_thousand_times_the_time(name: str) -> None:
    network = build(name)
    seen: list[Tensor] = []
    embedding = network.get_submodule("time")
    if isinstance(embedding, TimeEmbedding):
        embedding.input.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    else:
        embedding.register_forward_hook(lambda module, args, output: seen.append(output))

    t = torch.tensor([0.1, 0.6])
    network.times(t)
    expected = sinusoidal_embedding(1000 * t, seen[0].shape[-1], 1.0).unsqueeze(1)
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-4)


@every_network
def test_no_network_reads_a_value_of_a_tensor_on_an_accelerator(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read one, the processor waits for the device; tensors without values raise instead."""
    monkeypatch.setattr(torch, "autocast", lambda **settings: nullcontext())  # knows no such device
    network = build(name).to("meta")
    x, t, cond = (value.to("meta") for value in inputs())
    assert network(x, t, cond).shape == (B, H, DA)
    with pytest.raises(RuntimeError, match="meta tensors"):
        bool(t.any())


@every_network
def test_a_wrong_shape_is_refused_while_the_tests_run(name: str) -> None:
    network = build(name)
    x, t, cond = inputs()
    wrong = [
        (x[0], t, cond),
        (x, t[:2], cond),
        (x, t[:, :3], cond),
        (x, t[..., None], cond),
        (x, t, cond[:2]),
        (x.long(), t, cond),
    ]
    for arguments in wrong:
        with pytest.raises(TypeCheckError):
            network(*arguments)

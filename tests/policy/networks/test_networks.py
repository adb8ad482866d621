"""One contract for every backbone: shapes, times, broadcasting, initialisation, gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.func import jacrev, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from kinoise.policy.build import build as build_node
from kinoise.policy.errors import PolicyError
from kinoise.policy.networks import (
    Backbone,
    ConditionalUnet1D,
    CrossAttentionDiT,
    DiT,
    InContextDiT,
    ResidualMLP,
    Transformer,
)
from kinoise.policy.networks.layers.convolution import Conv1d
from kinoise.policy.networks.layers.embeddings import sinusoidal_embedding
from kinoise.scripts.command import catalogue

B, H, DA, TO, DC = 3, 8, 2, 2, 5

#: Every option of the slot, and settings of theirs that take another way through the code.
NETWORKS: dict[str, dict[str, Any]] = {
    **tiny.NETWORKS,
    "unet1d of three levels": {**tiny.NETWORKS["unet1d"], "down_dims": [16, 32, 32]},
    "transformer with condition layers": {**tiny.NETWORKS["transformer"], "n_cond_layers": 2},
    "transformer that looks ahead": {**tiny.NETWORKS["transformer"], "causal": False},
}
STRIDED = ("unet1d", "unet1d of three levels")

every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, *, horizon: int = H, trained: bool = True) -> Backbone:
    """The named network; `trained` gives every parameter a value, the zero ones too."""
    torch.manual_seed(0)
    dims = {"action_dim": DA, "horizon": horizon, "cond_dim": DC, "n_obs_steps": TO}
    network: Backbone = build_node(NETWORKS[name], **dims)
    if trained:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network.double()


def inputs(batch: int = B, horizon: int = H) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    t = torch.rand(batch, generator=generator, dtype=torch.float64)
    return draw(batch, horizon, DA), t, draw(batch, TO, DC)


def assert_equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_contract_covers_every_option_of_the_slot() -> None:
    assert set(catalogue.groups()["network"]) <= set(NETWORKS)


@every_network
def test_the_output_has_the_shape_of_the_chunk(name: str) -> None:
    x, t, cond = inputs()
    assert build(name)(x, t, cond).shape == (B, H, DA)


@every_network
def test_an_untrained_network_returns_zero(name: str) -> None:
    assert build(name, trained=False)(*inputs()).abs().max() == 0.0


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, B])
def test_one_time_for_a_chunk_equals_the_same_time_for_every_token_bit_for_bit(
    name: str, dtype: torch.dtype, batch: int
) -> None:
    network = build(name).to(dtype)
    x, t, cond = (value.to(dtype) for value in inputs(batch))
    assert torch.equal(network(x, t, cond), network(x, t[:, None].expand(batch, H), cond))


@every_network
def test_nearly_equal_times_of_tokens_nearly_equal_one_time_for_the_chunk(name: str) -> None:
    """Equal ones are merged into one; these are not, and go the way of different ones."""
    network = build(name)
    x, t, cond = inputs()
    tokens = t[:, None].repeat(1, H)
    tokens[:, 0] += 1e-14
    if "mlp" not in name:  # these mix the tokens' times into one feature
        assert network.times(tokens).numel() > network.times(t).numel()
    torch.testing.assert_close(network(x, tokens, cond), network(x, t, cond), rtol=0, atol=1e-8)


@every_network
def test_the_derivative_with_respect_to_a_tokens_time_is_that_tokens(name: str) -> None:
    """Also where all times are equal: merging them would hide whose derivative it is."""
    network = build(name)
    x, t, cond = inputs(1)
    tokens = t[:, None].repeat(1, H)
    rows = jacrev(lambda tau: network(x, tau, cond))(tokens)[0, :, :, 0]
    for token in (0, H - 1):
        tangent = torch.zeros_like(tokens)
        tangent[:, token] = 1
        with sdpa_kernel(SDPBackend.MATH):  # the fused one has no forward derivative
            _, forward = jvp(lambda tau: network(x, tau, cond), (tokens,), (tangent,))
        assert_equal(forward[0], rows[..., token])
        step = 1e-7 * tangent
        change = network(x, tokens + step, cond) - network(x, tokens - step, cond)
        torch.testing.assert_close(change[0] / 2e-7, forward[0], rtol=1e-4, atol=1e-4)


@every_network
def test_the_time_of_any_single_token_changes_the_output(name: str) -> None:
    network = build(name)
    x, t, cond = inputs(1)
    tokens = t[:, None].repeat(1, H)
    for token in range(H):
        moved = tokens.clone()
        moved[:, token] = 1.0 - moved[:, token]
        assert (network(x, moved, cond) - network(x, tokens, cond)).abs().max() > 1e-6


@every_network
def test_the_order_of_the_tokens_times_matters(name: str) -> None:
    network = build(name)
    x, _, cond = inputs(1)
    ramp = torch.linspace(0, 1, H, dtype=torch.float64)[None]
    assert (network(x, ramp, cond) - network(x, ramp.flip(1), cond)).abs().max() > 1e-6


@every_network
@pytest.mark.parametrize("per_token", [False, True])
def test_rows_of_a_table_of_times_broadcast_over_the_batch(name: str, per_token: bool) -> None:
    network = build(name)
    x, _, cond = inputs()
    grid = torch.linspace(0, 1, 5, dtype=torch.float64)
    if per_token:
        grid = grid[:, None] * torch.linspace(0.5, 1, H, dtype=torch.float64)
    table, condition = network.times(grid), network.condition(cond)
    for k, t in enumerate(grid):
        row = network.denoise(x, table[k : k + 1], condition)
        assert_equal(row, network(x, t.expand(B, *t.shape), cond))


@every_network
def test_one_condition_broadcasts_over_the_batch(name: str) -> None:
    network = build(name)
    x, t, cond = inputs()
    shared = network.denoise(x, network.times(t), network.condition(cond[:1]))
    assert_equal(shared, network(x, t, cond[:1].expand(B, -1, -1)))


@every_network
def test_a_row_of_a_batch_equals_the_row_alone(name: str) -> None:
    network = build(name)
    x, t, cond = inputs()
    batch = network(x, t, cond)
    for i in range(B):
        assert_equal(batch[i : i + 1], network(x[i : i + 1], t[i : i + 1], cond[i : i + 1]))


@every_network
def test_a_row_of_a_float32_batch_equals_the_row_alone_to_1e_5(name: str) -> None:
    network = build(name).float()
    x, t, cond = (value.float() for value in inputs())
    batch = network(x, t, cond)
    for i in range(B):
        row = network(x[i : i + 1], t[i : i + 1], cond[i : i + 1])
        torch.testing.assert_close(batch[i : i + 1], row, rtol=1e-5, atol=1e-5)


@every_network
def test_every_step_of_the_observation_history_reaches_the_output(name: str) -> None:
    network = build(name)
    x, t, cond = inputs()
    cond.requires_grad_()
    network(x, t, cond).square().sum().backward()
    assert cond.grad is not None
    assert (cond.grad.abs().amax(dim=(0, 2)) > 1e-8).all()


@every_network
def test_gradient_reaches_every_parameter_within_four_steps(name: str) -> None:
    """Zero-initialised heads and gates open one after the other, hence the steps."""
    network = build(name, trained=False)
    x, _, cond = inputs(16)
    t = torch.rand(16, H, dtype=torch.float64)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        (network(x, t, cond) - cond[:, :1, :DA]).square().mean().backward()
        optimizer.step()
    still = [
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() < 1e-9
    ]
    assert not still


@every_network
def test_two_evaluations_and_two_builds_agree_bit_for_bit(name: str) -> None:
    x, t, cond = inputs()
    first, again = build(name), build(name)
    assert torch.equal(first(x, t, cond), first(x, t, cond))
    assert torch.equal(first(x, t, cond), again(x, t, cond))


@every_network
def test_the_state_dict_carries_the_whole_network(name: str) -> None:
    x, t, cond = inputs()
    source, copy = build(name), build(name, trained=False)
    copy.load_state_dict(source.state_dict())
    assert torch.equal(source(x, t, cond), copy(x, t, cond))


@every_network
def test_the_embedding_of_time_stays_float32_under_bfloat16_autocast(name: str) -> None:
    network = build(name).float()
    x, t, cond = (value.float() for value in inputs())
    seen: list[torch.dtype] = []
    network.get_submodule("time").register_forward_hook(
        lambda module, args, output: seen.append(output.dtype)
    )
    exact = network(x, t, cond)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(x, t, cond)
    assert seen == [torch.float32, torch.float32]
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).norm() < 0.1 * exact.norm()


@every_network
def test_a_network_can_be_exported_as_one_graph(name: str) -> None:
    network = build(name).eval()
    exported = torch.export.export(network, inputs()).module()
    assert_equal(exported(*inputs()), network(*inputs()))


@every_network
def test_gradients_flow_to_the_noisy_chunk(name: str) -> None:
    """Guidance needs the vector-Jacobian product with respect to x."""
    network = build(name)
    x, t, cond = inputs()
    (gradient,) = torch.autograd.grad(network(x.requires_grad_(), t, cond).sum(), x)
    assert (gradient.abs().sum(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in STRIDED])
@pytest.mark.parametrize("horizon", [1, 7])
def test_odd_horizons_work_where_nothing_is_strided(name: str, horizon: int) -> None:
    network = build(name, horizon=horizon)
    x, t, cond = inputs(horizon=horizon)
    assert network(x, t, cond).shape == (B, horizon, DA)
    times = torch.linspace(0, 1, horizon).expand(B, horizon)
    assert network(x, times, cond).shape == (B, horizon, DA)


@pytest.mark.parametrize("name", ["transformer", "transformer that looks ahead"])
@pytest.mark.parametrize("per_token", [False, True])
def test_a_causal_transformer_does_not_look_ahead(name: str, per_token: bool) -> None:
    network = build(name)
    x, t, cond = inputs(1)
    times = network.times(torch.rand(1, H, dtype=torch.float64) if per_token else t)

    def output(x: Tensor, cond: Tensor) -> Tensor:
        return network.denoise(x, times, network.condition(cond))[0].sum(-1)

    of_action = jacrev(output)(x, cond)[:, 0].abs().sum(-1)
    of_observation = jacrev(output, argnums=1)(x, cond)[:, 0].abs().sum(-1)
    causal = name == "transformer"
    seen = torch.ones(H, H).tril() if causal else torch.ones(H, H)
    assert torch.equal(of_action > 0, seen.bool())
    assert torch.equal(of_observation > 0, seen[:, :TO].bool())


def test_dropout_changes_a_transformer_in_training_only() -> None:
    network = Transformer(DA, H, DC, TO, width=32, depth=2, n_cond_layers=1, dropout=0.3)
    nn.init.normal_(network.output.weight)
    x, t, cond = (value.float() for value in inputs())
    assert not torch.equal(network(x, t, cond), network(x, t, cond))
    network.eval()
    assert torch.equal(network(x, t, cond), network(x, t, cond))


def test_the_unet_says_which_horizons_fit() -> None:
    with pytest.raises(PolicyError, match=r"horizon=10 is not a multiple of 4; use 8 or 12"):
        build("unet1d of three levels", horizon=10)


def test_the_unet_refuses_an_even_kernel_and_channels_its_groups_do_not_divide() -> None:
    dims = {"action_dim": DA, "horizon": H, "cond_dim": DC, "n_obs_steps": TO}
    with pytest.raises(PolicyError, match="kernel_size=4 must be odd"):
        ConditionalUnet1D(**dims, down_dims=(16,), kernel_size=4)
    with pytest.raises(PolicyError, match=r"\[20\] are not multiples of n_groups=8"):
        ConditionalUnet1D(**dims, down_dims=(16, 20))


@pytest.mark.parametrize("network", [DiT, InContextDiT, CrossAttentionDiT, Transformer])
def test_a_transformer_refuses_a_width_its_heads_do_not_divide(network: type[Backbone]) -> None:
    with pytest.raises(PolicyError, match="width=30 is not a multiple of n_heads=4"):
        network(DA, H, DC, TO, width=30)


def test_the_unet_has_the_published_number_of_parameters() -> None:
    """Diffusion Policy's Push-T state U-Net: 65 M (obs 2 x 20 as global condition)."""
    with torch.device("meta"):
        network = ConditionalUnet1D(2, 16, 20, 2, down_dims=(256, 512, 1024))
    assert n_parameters(network) == published_unet_parameters(2, 40, (256, 512, 1024), 256, 5)


def test_the_residual_mlp_has_about_1_3_million_parameters() -> None:
    with torch.device("meta"):
        network = ResidualMLP(2, 16, 20, 2)
    assert 1.2e6 < n_parameters(network) < 1.4e6


@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 2), (5, 1)])
def test_a_convolution_of_one_sample_equals_pytorchs(kernel_size: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = Conv1d(6, 4, kernel_size, stride=stride, padding=kernel_size // 2).double()
    h = torch.randn(1, 6, 8, dtype=torch.float64)
    assert_equal(conv(h), nn.Conv1d.forward(conv, h))


def test_the_sinusoid_spreads_its_variance_over_the_components() -> None:
    """Fed with t in [0, 1] unscaled, 99 % of the variance would lie in one direction."""
    t = torch.linspace(0, 1, 1000, dtype=torch.float64)
    shares = []
    for scale in (1.0, 1000.0):
        embedding = sinusoidal_embedding(t, 64, scale)
        variance = torch.linalg.svdvals(embedding - embedding.mean(0)).square()
        shares.append(float(variance[0] / variance.sum()))
    assert shares[0] > 0.95
    assert shares[1] < 0.25


def test_the_sinusoid_of_a_bfloat16_time_is_float32() -> None:
    assert sinusoidal_embedding(torch.rand(3, dtype=torch.bfloat16), 8).dtype == torch.float32


def n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def published_unet_parameters(
    action_dim: int, cond_dim: int, dims: tuple[int, ...], time_dim: int, kernel_size: int
) -> int:
    """Count `ConditionalUnet1D` of real-stanford/diffusion_policy layer by layer."""

    def conv(in_dim: int, out_dim: int, kernel: int) -> int:
        return in_dim * out_dim * kernel + out_dim

    def conv_block(in_dim: int, out_dim: int) -> int:
        return conv(in_dim, out_dim, kernel_size) + 2 * out_dim

    def residual(in_dim: int, out_dim: int) -> int:
        film = (time_dim + cond_dim) * 2 * out_dim + 2 * out_dim
        skip = conv(in_dim, out_dim, 1) if in_dim != out_dim else 0
        return conv_block(in_dim, out_dim) + conv_block(out_dim, out_dim) + film + skip

    pairs = list(zip((action_dim, *dims[:-1]), dims, strict=True))
    down = sum(residual(a, b) + residual(b, b) for a, b in pairs)
    down += sum(conv(d, d, 3) for d in dims[:-1])
    middle = 2 * residual(dims[-1], dims[-1])
    up = sum(residual(2 * b, a) + residual(a, a) + conv(a, a, 4) for a, b in pairs[1:])
    final = conv_block(dims[0], dims[0]) + conv(dims[0], action_dim, 1)
    time = conv(time_dim, 4 * time_dim, 1) + conv(4 * time_dim, time_dim, 1)
    return down + middle + up + final + time

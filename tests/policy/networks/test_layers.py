"""The parts of the networks against formulas written out, and against PyTorch's own layers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinoise.policy.networks import (
    ConcatenationMLP,
    CrossAttentionDiT,
    DiT,
    InContextDiT,
    ResidualMLP,
)
from kinoise.policy.networks.dit import TransformerBlock
from kinoise.policy.networks.dit_cross_attention import CrossAttentionBlock
from kinoise.policy.networks.layers.attention import (
    DecoderBlock,
    EncoderBlock,
    cross_attention,
    self_attention,
    split_keys_and_values,
)
from kinoise.policy.networks.layers.convolution import ConvBlock, ResidualConvBlock
from kinoise.policy.networks.layers.modulation import Modulation, TimeModulation
from kinoise.policy.networks.mixer import MixerBlock
from kinoise.policy.networks.residual_mlp import ResidualBlock

B, T, S, HEADS, WIDTH = 2, 5, 3, 2, 8


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def made(module: nn.Module) -> nn.Module:
    """Give every parameter a value of order one, norms and biases too."""
    torch.manual_seed(0)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
    """One head's attention, written out: `[T, d]`, `[S, d]`, `[S, d]`."""
    logits = query @ key.T / math.sqrt(query.shape[1])
    if seen is not None:
        logits = logits.masked_fill(~seen, -math.inf)
    return logits.softmax(-1) @ value


def norm(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    centred = h - h.mean(-1, keepdim=True)
    return shift + scale * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_that_of_every_head_apart(causal: bool) -> None:
    qkv = draw(B, T, 3 * WIDTH)
    seen = torch.ones(T, T).tril().bool() if causal else None
    mixed = self_attention(qkv, HEADS, causal=causal)
    size = WIDTH // HEADS
    for row in range(B):
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            query, key, value = (each[:, part] for each in qkv[row].chunk(3, dim=-1))
            torch.testing.assert_close(mixed[row, :, part], attend(query, key, value, seen))


@pytest.mark.parametrize("n_memories", [1, T])
def test_cross_attention_gives_every_token_its_memory(n_memories: int) -> None:
    size = WIDTH // HEADS
    query = draw(B, T, WIDTH)
    key = draw(B * n_memories, HEADS, S, size)
    value = draw(B * n_memories, HEADS, S, size) + 1
    mixed = cross_attention(query, key, value)
    for row in range(B):
        for token in range(T):
            memory = row * n_memories + token % n_memories
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                expected = attend(
                    query[row, token : token + 1, part], key[memory, head], value[memory, head]
                )
                torch.testing.assert_close(mixed[row, token, part], expected[0])


def test_keys_and_values_stand_layer_by_layer_and_head_by_head() -> None:
    depth, size = 3, WIDTH // HEADS
    flat = draw(B, S, depth * 2 * WIDTH)
    apart = split_keys_and_values(flat, depth, HEADS)
    for layer in range(depth):
        for which in range(2):
            start = (2 * layer + which) * WIDTH
            block = flat[..., start : start + WIDTH].unflatten(-1, (HEADS, size))
            assert torch.equal(apart[layer, which], block.transpose(1, 2))


def copied_encoder(block: EncoderBlock, theirs: nn.Module) -> None:
    pairs = {
        "norm1": block.attention_norm,
        "self_attn.out_proj": block.project,
        "linear1": block.expand,
        "linear2": block.contract,
    }
    for name, layer in pairs.items():
        theirs.get_submodule(name).load_state_dict(layer.state_dict())
    attention = theirs.get_submodule("self_attn")
    attention.load_state_dict(
        {"in_proj_weight": block.qkv.weight, "in_proj_bias": block.qkv.bias}, strict=False
    )


@pytest.mark.parametrize("causal", [False, True])
def test_an_encoder_block_is_pytorchs_encoder_layer(causal: bool) -> None:
    block = made(EncoderBlock(WIDTH, HEADS, 16, causal=causal))
    assert isinstance(block, EncoderBlock)
    options = {"activation": "gelu", "batch_first": True, "norm_first": True}
    theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, 0.0, **options).double()
    copied_encoder(block, theirs)
    theirs.norm2.load_state_dict(block.mlp_norm.state_dict())

    h = draw(B, T, WIDTH)
    mask = nn.Transformer.generate_square_subsequent_mask(T, dtype=h.dtype) if causal else None
    torch.testing.assert_close(block(h), theirs(h, mask))


def test_a_decoder_block_is_pytorchs_decoder_layer() -> None:
    block = made(DecoderBlock(WIDTH, HEADS, 16))
    assert isinstance(block, DecoderBlock)
    options = {"activation": "gelu", "batch_first": True, "norm_first": True}
    theirs = nn.TransformerDecoderLayer(WIDTH, HEADS, 16, 0.0, **options).double()
    copied_encoder(block, theirs)
    theirs.norm2.load_state_dict(block.cross_norm.state_dict())
    theirs.norm3.load_state_dict(block.mlp_norm.state_dict())
    theirs.multihead_attn.out_proj.load_state_dict(block.cross_project.state_dict())
    weights = theirs.multihead_attn.in_proj_weight.data
    biases = theirs.multihead_attn.in_proj_bias.data
    weights[:WIDTH] = block.query.weight.data
    biases[:WIDTH] = block.query.bias.data

    h = draw(B, T, WIDTH)
    memory = draw(B, S, WIDTH)
    key_value = F.linear(memory, weights[WIDTH:], biases[WIDTH:])
    key, value = split_keys_and_values(key_value, 1, HEADS)[0]
    torch.testing.assert_close(block(h, key, value, None), theirs(h, memory))


def test_dropout_acts_on_weights_hidden_units_and_both_branches_in_training_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[tuple[int, ...], float]] = []
    dropout, attention = F.dropout, F.scaled_dot_product_attention

    def record(h: Tensor, rate: float) -> Tensor:
        seen.append((tuple(h.shape), rate))
        return dropout(h, rate)

    def record_weights(query: Tensor, *others: Tensor, dropout_p: float, **options: bool) -> Tensor:
        seen.append(((T, T), dropout_p))
        return attention(query, *others, dropout_p=dropout_p, **options)

    monkeypatch.setattr(F, "dropout", record)
    monkeypatch.setattr(F, "scaled_dot_product_attention", record_weights)
    block = made(EncoderBlock(WIDTH, HEADS, 16, dropout=0.5))
    block(draw(B, T, WIDTH))
    places = [(T, T), (B, T, WIDTH), (B, T, 16), (B, T, WIDTH)]
    assert seen == [(place, 0.5) for place in places]

    seen.clear()
    block.eval()(draw(B, T, WIDTH))
    assert seen == [((T, T), 0.0)]


def test_a_dit_block_shifts_scales_and_gates_attention_and_perceptron() -> None:
    block = made(TransformerBlock(WIDTH, HEADS, 16))
    assert isinstance(block, TransformerBlock)
    h = draw(B, T, WIDTH)
    modulation = list(draw(6, B, 1, WIDTH))
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation

    y = h + gate * block.project(self_attention(block.qkv(norm(h, shift, scale)), HEADS))
    hidden = F.gelu(block.expand(norm(y, mlp_shift, mlp_scale)), approximate="tanh")
    torch.testing.assert_close(block(h, modulation), y + mlp_gate * block.contract(hidden))


def test_a_dit_block_with_cross_attention_looks_at_the_memory_between_its_parts() -> None:
    block = made(CrossAttentionBlock(WIDTH, HEADS, 16))
    assert isinstance(block, CrossAttentionBlock)
    h = draw(B, T, WIDTH)
    modulation = list(draw(6, B, T, WIDTH))
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation
    key, value = draw(2, B, HEADS, S, WIDTH // HEADS)

    y = h + gate * block.project(self_attention(block.qkv(norm(h, shift, scale)), HEADS))
    y = y + block.cross_project(cross_attention(block.query(block.cross_norm(y)), key, value))
    hidden = F.gelu(block.expand(norm(y, mlp_shift, mlp_scale)), approximate="tanh")
    expected = y + mlp_gate * block.contract(hidden)
    torch.testing.assert_close(block(h, modulation, key, value), expected)


def test_a_mixer_block_mixes_tokens_then_channels() -> None:
    block = made(MixerBlock(T, WIDTH, 6, 16))
    assert isinstance(block, MixerBlock)
    h = draw(B, T, WIDTH)
    modulation = list(draw(6, B, 1, WIDTH))
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation

    tokens = norm(h, shift, scale).transpose(1, 2)
    tokens = block.token_contract(F.gelu(block.token_expand(tokens), approximate="tanh"))
    y = h + gate * tokens.transpose(1, 2)
    hidden = F.gelu(block.expand(norm(y, mlp_shift, mlp_scale)), approximate="tanh")
    torch.testing.assert_close(block(h, modulation), y + mlp_gate * block.contract(hidden))


def test_a_residual_block_of_the_perceptron_is_its_formula() -> None:
    block = made(ResidualBlock(WIDTH, 16))
    assert isinstance(block, ResidualBlock)
    h, shift, scale, gate = draw(4, B, WIDTH)
    hidden = F.silu(norm(h, shift, scale) @ block.expand.weight.T)
    expected = h + gate * (hidden @ block.contract.weight.T)
    torch.testing.assert_close(block(h, shift, scale, gate), expected)


def test_a_residual_convolution_is_scaled_and_shifted_between_its_two_parts() -> None:
    block = made(ResidualConvBlock(4, WIDTH, 3, 2))
    assert isinstance(block, ResidualConvBlock)
    h = draw(B, 4, T)
    film = draw(B, 2 * WIDTH, T)
    scale, bias = film[:, :WIDTH], film[:, WIDTH:]
    expected = block.after(scale * block.before(h) + bias) + block.skip(h)
    torch.testing.assert_close(block(h, film), expected)


def test_a_convolution_block_is_a_convolution_a_group_norm_and_mish() -> None:
    block = made(ConvBlock(4, WIDTH, 3, 2))
    assert isinstance(block, ConvBlock)
    h = draw(B, 4, T)
    y = F.conv1d(h, block[0].weight, block[0].bias, padding=1)
    y = F.group_norm(y, 2, block[1].weight, block[1].bias)
    torch.testing.assert_close(block(h), y * torch.tanh(F.softplus(y)))


def test_modulations_start_at_the_identity_and_the_open_ones_see_the_embeddings() -> None:
    torch.manual_seed(0)
    modulation = Modulation(4, 3, WIDTH, (0.0, 1.0, 0.0)).double()
    modulation.initialise(n_open=1)
    times = modulation.times(draw(B, 4))
    condition = modulation.condition(draw(B, 3))
    assert times.shape == condition.shape == (B, 3, WIDTH)
    assert (times[:, 1] == 1).all()
    assert (times[:, 2] == 0).all()
    assert (condition[:, 1:] == 0).all()
    assert times[:, 0].abs().min() > 0
    assert condition[:, 0].abs().min() > 0

    closed = TimeModulation(4, WIDTH, (0.0, 1.0))
    closed.initialise()
    assert torch.equal(closed.times(torch.randn(B, T, 4))[0, 0], closed.identity.expand(2, WIDTH))


def test_the_first_layer_of_the_concatenating_perceptron_reads_one_long_vector() -> None:
    network = made(ConcatenationMLP(2, T, 3, 2, width=WIDTH, depth=1, time_dim=4, token_dim=4))
    assert isinstance(network, ConcatenationMLP)
    x, cond = draw(B, T, 2), draw(B, 2, 3)
    t = draw(B, T).sigmoid()
    embedded = F.silu(network.time(t)).flatten(1)
    whole = torch.cat([x.flatten(1), embedded, cond.flatten(1)], 1)
    layers = (network.input, network.time_input, network.cond_input)
    h = F.linear(whole, torch.cat([layer.weight for layer in layers], 1), network.input.bias)
    (block,) = network.blocks
    h = h + block(h)
    expected = network.output(network.norm(h)).view(B, T, 2)
    torch.testing.assert_close(network(x, t, cond), expected)


def test_every_block_of_a_dit_has_modulations_of_its_own_and_the_head_the_last_two() -> None:
    network = made(DiT(2, T, 3, 2, width=WIDTH, depth=3, n_heads=HEADS, time_dim=4))
    assert isinstance(network, DiT)
    x, t, cond = draw(B, T, 2), draw(B, T).sigmoid(), draw(B, 2, 3)
    modulations = network.times(t) + network.condition(cond)

    h = network.input(x) + network.position
    for i, block in enumerate(network.blocks):
        h = block(h, [modulations[:, :, 6 * i + k] for k in range(6)])
    shift, scale = modulations[:, :, 18], modulations[:, :, 19]
    torch.testing.assert_close(network(x, t, cond), network.output(norm(h, shift, scale)))


def test_every_block_of_a_dit_with_cross_attention_has_keys_and_values_of_its_own() -> None:
    network = made(CrossAttentionDiT(2, T, 3, 2, width=WIDTH, depth=3, n_heads=HEADS, time_dim=4))
    assert isinstance(network, CrossAttentionDiT)
    x, t, cond = draw(B, T, 2), draw(B, T).sigmoid(), draw(B, 2, 3)
    modulations = network.times(t)
    memory = network.cond_norm(network.cond(cond) + network.cond_position)
    heads = split_keys_and_values(network.keys_values(memory), 3, HEADS)

    h = network.input(x) + network.position
    for i, block in enumerate(network.blocks):
        h = block(h, [modulations[:, :, 6 * i + k] for k in range(6)], *heads[i])
    shift, scale = modulations[:, :, 18], modulations[:, :, 19]
    torch.testing.assert_close(network(x, t, cond), network.output(norm(h, shift, scale)))


def test_a_dit_in_context_reads_time_observations_and_actions_as_one_sequence() -> None:
    network = made(InContextDiT(2, T, 3, 2, width=WIDTH, depth=2, n_heads=HEADS, time_dim=4))
    assert isinstance(network, InContextDiT)
    x, t, cond = draw(B, T, 2), draw(B, T).sigmoid(), draw(B, 2, 3)
    times = network.time(t)
    mean = times.mean(1, keepdim=True)
    actions = network.input(x) + network.position + times - mean
    h = torch.cat([mean, network.cond(cond) + network.cond_position, actions], 1)
    for block in network.blocks:
        h = block(h)
    torch.testing.assert_close(network(x, t, cond), network.output(network.norm(h[:, 3:])))


def test_every_block_of_the_modulated_perceptron_has_modulations_of_its_own() -> None:
    network = made(ResidualMLP(2, T, 3, 2, width=WIDTH, depth=3, time_dim=4, token_dim=4))
    assert isinstance(network, ResidualMLP)
    x, t, cond = draw(B, T, 2), draw(B, T).sigmoid(), draw(B, 2, 3)
    embedded = F.silu(network.time_mix(network.time(t).flatten(1)))
    modulation = network.modulation
    sums = modulation.time(embedded) + modulation.cond(network.cond(cond))
    modulations = sums.view(B, -1, WIDTH) + modulation.identity

    h = x.flatten(1) @ network.input.weight.T + modulations[:, 0]
    for i, block in enumerate(network.blocks):
        h = block(h, *(modulations[:, 1 + 3 * i + k] for k in range(3)))
    h = norm(h, modulations[:, 10], modulations[:, 11])
    torch.testing.assert_close(network(x, t, cond), network.output(h).view(B, T, 2))

"""Embeddings of time: their values, and when two ways to write the times become one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from kinoise.policy.networks.layers.embeddings import (
    ConditionEmbedding,
    Sinusoid,
    TimeEmbedding,
    sinusoidal_embedding,
    tokens_times,
)

F64 = torch.float64


def test_the_sinusoid_has_frequencies_from_one_to_a_ten_thousandth_of_a_thousand_t() -> None:
    t = 0.25
    phases = [250.0, 250.0 * 1e-2, 250.0 * 1e-4]
    expected = [math.sin(phase) for phase in phases] + [math.cos(phase) for phase in phases]
    embedding = sinusoidal_embedding(torch.tensor(t, dtype=F64), 6)
    torch.testing.assert_close(embedding, torch.tensor(expected, dtype=F64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (3, 5)])
def test_the_sinusoid_adds_its_components_as_the_last_dimension(shape: tuple[int, ...]) -> None:
    t = torch.rand(shape, dtype=F64)
    embedding = sinusoidal_embedding(t, 8, 10.0)
    assert embedding.shape == (*shape, 8)
    torch.testing.assert_close(embedding[..., 0], (10 * t).sin())
    torch.testing.assert_close(embedding[..., 4], (10 * t).cos())


def test_a_time_embedding_is_two_layers_on_the_sinusoid_of_a_thousand_t() -> None:
    torch.manual_seed(0)
    embed = TimeEmbedding(8, 16, 4, nn.SiLU()).double()
    t = torch.rand(3, dtype=F64)
    hidden = nn.functional.silu(embed.input(sinusoidal_embedding(t, 8, 1000.0)))
    torch.testing.assert_close(embed(t), embed.output(hidden).unsqueeze(1))
    torch.testing.assert_close(Sinusoid(8)(t), sinusoidal_embedding(t, 8, 1000.0).unsqueeze(1))


def test_a_condition_embedding_ends_with_its_activation() -> None:
    torch.manual_seed(0)
    embed = ConditionEmbedding(3, 2, 4)
    cond = torch.randn(5, 2, 3)
    first, _, second, _ = embed.mlp
    expected = nn.functional.silu(second(nn.functional.silu(first(cond.flatten(1)))))
    assert torch.equal(embed(cond), expected)


def test_equal_times_of_a_chunks_tokens_are_merged_and_different_ones_kept() -> None:
    t = torch.tensor([0.2, 0.7])
    tokens = t[:, None].repeat(1, 4)
    assert torch.equal(tokens_times(t), t[:, None])
    assert torch.equal(tokens_times(tokens), t[:, None])

    tokens[1, 3] = 0.8
    assert tokens_times(tokens) is tokens


def test_times_that_are_differentiated_are_never_merged() -> None:
    tokens = torch.full((2, 4), 0.5, requires_grad=True)
    assert tokens_times(tokens) is tokens


def test_on_an_accelerator_only_an_expanded_column_is_merged_and_no_value_is_read() -> None:
    """Tensors without values stand for those on a device: to read one raises an error."""

    def on_device(t: Tensor) -> Tensor:
        return t.to("meta")

    column = on_device(torch.rand(3))[:, None]
    assert tokens_times(column.expand(3, 4)).shape == (3, 1)
    assert tokens_times(on_device(torch.rand(3, 4))).shape == (3, 4)

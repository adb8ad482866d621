"""The values that parameters have before training."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from torch import nn

from kinoise.policy.build import build
from kinoise.policy.networks import ConditionalUnet1D, ResidualMLP
from kinoise.policy.networks.layers.initialisation import (
    initialise_inputs,
    initialise_linears,
    initialise_zero,
)

DIMS = {"action_dim": 2, "horizon": 8, "cond_dim": 5, "n_obs_steps": 2}


def test_linears_start_xavier_uniform_without_bias() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(60, 40)
    initialise_linears(nn.Sequential(layer))
    assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 100), rel=0.01)
    assert not layer.bias.any()


def test_input_layers_give_outputs_of_the_order_of_their_inputs_at_any_width() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4000, bias=False)
    initialise_inputs(layer)
    assert layer.weight.var().item() == pytest.approx(1 / 6, rel=0.05)
    assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(3 / 6), rel=0.01)


def test_a_layer_of_zeros_has_neither_weights_nor_biases_left() -> None:
    layer = nn.Conv1d(3, 4, 5)
    initialise_zero(layer)
    assert not layer.weight.any()
    assert not layer.bias.any()


@pytest.mark.parametrize(
    "name", [name for name in tiny.NETWORKS if "mlp" not in name and name != "unet1d"]
)
def test_every_learned_position_starts_with_a_deviation_of_a_fifth(name: str) -> None:
    torch.manual_seed(0)
    network = build({**tiny.NETWORKS[name], "width": 512}, **DIMS)
    positions = dict(network.named_parameters(recurse=False))
    assert "position" in positions
    for position in positions.values():
        assert position.std().item() == pytest.approx(0.2, rel=0.1)


def test_the_unets_film_starts_with_scales_about_one_and_biases_about_zero() -> None:
    torch.manual_seed(0)
    network = build(tiny.NETWORKS["unet1d"], **DIMS)
    assert isinstance(network, ConditionalUnet1D)
    for bias in torch.split(network.time_film.bias, network.film_sizes):
        scale, shift = bias.chunk(2)
        assert (scale == 1).all()
        assert shift.abs().max() <= 1 / math.sqrt(16)


def test_an_untrained_perceptron_sees_time_and_observation_at_its_input_alone() -> None:
    torch.manual_seed(0)
    network = build(tiny.NETWORKS["residual_mlp"], **DIMS)
    assert isinstance(network, ResidualMLP)
    features = network.condition(torch.randn(3, 2, 5))
    assert features[:, 0].abs().min() > 0
    assert not features[:, 1:].any()
    assert network.times(torch.rand(3))[:, 0].abs().min() > 0

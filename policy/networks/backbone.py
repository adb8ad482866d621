"""What every denoising network offers to the loss and to the sampler."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """A network F(x_t, t, cond) on chunks of actions, split by how often each part is needed.

    A sampler calls `times` once per table, `condition` once per chunk and `denoise` once per
    evaluation, so whatever depends on the time or on the observation alone is computed outside
    the loop. The features of time and condition are tensors whose first dimension is the batch;
    a batch of one broadcasts, so row k of a table's times is `times(grid)[k : k + 1]`.

    The network knows nothing of noise levels or targets: t is a number in [0, 1], either one per
    chunk `[B]` or one per token `[B, H]`; the same t written in both ways gives the same output.
    Untrained networks return exactly zero (their last layer starts at zero).
    """

    @abstractmethod
    def times(self, t: Tensor) -> Tensor:
        """Features of the time t, `[B]` or `[B, H]` in [0, 1]; a tensor `[B, ...]`."""

    @abstractmethod
    def condition(self, cond: Tensor) -> Tensor:
        """Features of the encoded observations `[B, To, Dc]`; a tensor `[B, ...]`."""

    @abstractmethod
    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """One evaluation: x `[B, H, Da]`, features of leading dimension B or 1; `[B, H, Da]`."""

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """x `[B, H, Da]`, t `[B]` or `[B, H]`, cond `[B, To, Dc]`; returns `[B, H, Da]`."""
        return self.denoise(x, self.times(t), self.condition(cond))


def initialise_linears(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in every Linear below `module`."""
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def initialise_inputs(*layers: nn.Linear) -> None:
    """Weights of variance 1 / fan-in: outputs of the order of the inputs, however many there are.

    Xavier-uniform weights of a layer with few inputs shrink as its outputs grow in number.
    """
    for layer in layers:
        bound = math.sqrt(3 / layer.in_features)
        nn.init.uniform_(layer.weight, -bound, bound)


def initialise_positions(*positions: nn.Parameter) -> None:
    """Learned positions of about the size of an embedded action.

    At the customary 0.02 a network first has to learn where its tokens stand: after 300 steps on a
    small task DiT's loss is 0.26 with them and 0.20 with these.
    """
    for position in positions:
        nn.init.normal_(position, std=0.2)


def initialise_zero(*layers: nn.Linear | nn.Conv1d) -> None:
    """Zero weights and biases: the layer's output starts at zero and still receives gradient."""
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.zero_()

"""Learning rates that hold at every width: the maximal update parametrisation for Adam.

Yang et al. 2022, table 3. An Adam step moves every weight by about the learning
rate, whatever its gradient; a layer of fan-in n sums n such moves that all point one way, so the
same rate changes its output n times as much. The rule keeps the change of every activation at the
order it has in a base network, at which the learning rate was tuned:

    parameter                                   learning rate
    weights of a layer whose fan-in grows       base fan-in / fan-in
    weights of a layer with a fixed fan-in      1 (they read actions, observations or a sinusoid)
    biases, norms, positions                    1

Which fan-ins grow is read off by comparing with the base network, so it holds for any module. The
rest of the rule is how the networks are made: hidden weights start with a variance of order
1 / fan-in, output layers at zero. Two things differ from the table. Attention is divided by
sqrt(head size), not by the head size: grow `n_heads` with the width, so that heads keep their size.
And the first layers of some networks start Xavier-uniform, smaller than the table's at large
widths; what follows them changes less there, never more.
"""

from __future__ import annotations

from torch import nn

from ..errors import PolicyError

_Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d


def learning_rate_factors(network: nn.Module, base: nn.Module) -> dict[str, float]:
    """Factor of every parameter's learning rate, by its name.

    Args:
        network: the network to train.
        base: the same network at the width that the learning rate was tuned for; only its shapes
            are read, so it may be built under `torch.device("meta")`.

    Raises:
        PolicyError: the two do not have the same parameters.
    """
    factors = {name: 1.0 for name, _ in network.named_parameters()}
    others = {name for name, _ in base.named_parameters()}

    if unmatched := sorted(factors.keys() ^ others):
        raise PolicyError(
            f"the base network may differ in width only: '{unmatched[0]}' is in one of the two"
        )

    for name, layer in network.named_modules():
        if isinstance(layer, _Weighted):
            factors[f"{name}.weight"] = _fan_in(base.get_submodule(name)) / _fan_in(layer)
    return factors


def _fan_in(layer: nn.Module) -> int:
    """Return how many inputs one output sums, up to a constant that the base network shares."""
    assert isinstance(layer, _Weighted)
    axis = 0 if isinstance(layer, nn.ConvTranspose1d) else 1
    return layer.weight.shape[axis] * layer.weight[0, 0].numel()

"""The denoiser: what the network is shown, and how its answer is read."""

from __future__ import annotations

import pytest
import torch
from registry import PATHS
from torch import Tensor, nn

from kinoise.policy.denoiser import Denoiser
from kinoise.policy.errors import PolicyError
from kinoise.policy.networks import Backbone
from kinoise.policy.paths import EDM, Interpolant, Path, VEGeometric, VPCosine
from kinoise.policy.sampling.registry import compile_table
from kinoise.policy.targets import frame

EXPLODING = [EDM(), VEGeometric()]


class Witness(Backbone):
    """Answers 0.3 x and remembers inputs and times."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.inputs: list[Tensor] = []
        self.told: list[Tensor] = []

    def times(self, t: Tensor) -> Tensor:
        return t

    def condition(self, cond: Tensor) -> Tensor:
        return cond

    def denoise(self, x: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        self.inputs.append(x)
        self.told.append(times)
        return 0.3 * x


X = torch.randn(5, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BASE = torch.randn(5, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
GRID = torch.tensor([0.9, 0.6, 0.3], dtype=torch.float64)


def c_in(path: Path, t: Tensor) -> Tensor:
    """Karras et al. 2022, table 1, with sigma_data = 1/2."""
    return 1 / (path.sigma(t) ** 2 + 0.25).sqrt()


@pytest.mark.parametrize("path", EXPLODING)
def test_the_network_is_shown_inputs_scaled_by_c_in(path: Path) -> None:
    network = Witness()
    t = torch.linspace(0.2, 0.9, 5, dtype=torch.float64)
    Denoiser(network, path, "edm").predict(X, t, X)
    torch.testing.assert_close(network.inputs[0], X * c_in(path, t)[:, None, None])
    torch.testing.assert_close(network.told[0], t)


@pytest.mark.parametrize("path", EXPLODING)
def test_a_table_shows_the_network_what_training_shows_it(path: Path) -> None:
    network = Witness()
    table = compile_table("ddim", GRID, path)
    estimate = Denoiser(network, path, "edm").rows(table).estimator(X)
    for k, t in enumerate(table.t):
        estimate(k, X)
        torch.testing.assert_close(network.inputs[k], X * c_in(path, t))
        assert float(network.told[k]) == float(t)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("target", ["v_prediction", "sample", "velocity", "edm"])
def test_both_ways_of_reading_the_answer_agree(path: Path, target: str) -> None:
    if isinstance(path, nn.Module):
        path.double()
    denoiser = Denoiser(Witness(), path, target)
    table = compile_table("ddim", GRID, path)
    rows = denoiser.rows(table).estimator(X, BASE)
    for k, t in enumerate(table.t):
        with torch.no_grad():
            whole = denoiser.estimate(X, t, X, base=BASE)
        torch.testing.assert_close(rows(k, X), whole, rtol=1e-9, atol=1e-12)


def test_a_base_is_shown_to_the_network_and_no_part_of_the_state() -> None:
    path = Interpolant(has_base=True)
    network = Witness()
    t = torch.tensor(0.4, dtype=torch.float64)
    estimate = Denoiser(network, path, "v_prediction").estimate(X, t, X, base=BASE)
    shown = X + 0.4 * BASE
    torch.testing.assert_close(network.inputs[0], shown)
    expected = frame("v_prediction", path, t).sample(X, 0.3 * shown)
    torch.testing.assert_close(estimate, expected)


def test_a_target_that_says_nothing_of_the_data_at_the_noise_is_refused() -> None:
    table = compile_table("ddim", torch.ones(1, dtype=torch.float64), VPCosine())
    Denoiser(Witness(), VPCosine(), "v_prediction").check(table)
    with pytest.raises(PolicyError, match="cannot give x_0 where alpha = 0"):
        Denoiser(Witness(), VPCosine(), "epsilon").check(table)

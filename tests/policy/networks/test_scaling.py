"""A learning rate tuned at one width holds at others (Tensor Programs V, 2203.03466)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from kinoise.policy.build import build
from kinoise.policy.errors import PolicyError
from kinoise.policy.networks.backbone import Backbone
from kinoise.policy.networks.scaling import learning_rate_factors

H, DA, TO, DC = 8, 2, 2, 5
BASE = 64

every_network = pytest.mark.parametrize("name", tiny.NETWORKS)


def network(name: str, width: int) -> Backbone:
    """The tiny network at another width; heads keep their size."""
    changes: dict[str, Any] = {"width": width}
    if name == "unet1d":
        changes = {"down_dims": [width // 2, width]}
    if "n_heads" in tiny.NETWORKS[name]:
        changes["n_heads"] = width // 16
    node = {**tiny.NETWORKS[name], **changes}
    built: Backbone = build(node, action_dim=DA, horizon=H, cond_dim=DC, n_obs_steps=TO)
    return built


def optimiser(built: Backbone, factors: dict[str, float], rate: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [parameter], "lr": rate * factors[name]}
        for name, parameter in built.named_parameters()
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0, foreach=True)


def factors_of(name: str, built: Backbone, base: int, ruled: bool) -> dict[str, float]:
    if not ruled:
        return {key: 1.0 for key, _ in built.named_parameters()}
    with torch.device("meta"):
        return learning_rate_factors(built, network(name, base))


def batch(number: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy chunks, times, observations and clean chunks; these follow from the observations."""
    fixed = torch.Generator().manual_seed(10**6)
    first = torch.randn(TO * DC, 16, generator=fixed) / (TO * DC) ** 0.5
    second = torch.randn(16, H * DA, generator=fixed) / 4
    generator = torch.Generator().manual_seed(number)
    cond = torch.randn(size, TO, DC, generator=generator)
    clean = torch.sin(2 * torch.sin(2 * cond.flatten(1) @ first) @ second).view(size, H, DA)
    t = torch.rand(size, generator=generator)
    noise = torch.randn(size, H, DA, generator=generator)
    return torch.lerp(clean, noise, t[:, None, None]), t, cond, clean


@every_network
def test_only_layers_whose_inputs_grow_learn_more_slowly(name: str) -> None:
    with torch.device("meta"):
        wide, base = network(name, 4 * BASE), network(name, BASE)
    factors = learning_rate_factors(wide, base)
    assert factors.keys() == dict(wide.named_parameters()).keys()
    assert set(factors.values()) == {1.0, 0.25}
    matrices = {key: value for key, value in wide.named_parameters() if value.dim() > 1}
    assert all(factors[key] == 1.0 for key in factors if key not in matrices)
    assert factors["output.weight"] == 0.25
    assert set(learning_rate_factors(base, base).values()) == {1.0}


def test_a_base_that_differs_in_more_than_width_is_refused() -> None:
    deeper = {**tiny.NETWORKS["dit"], "depth": 3}
    dims = {"action_dim": DA, "horizon": H, "cond_dim": DC, "n_obs_steps": TO}
    with pytest.raises(PolicyError, match="may differ in width only: 'blocks.2"):
        learning_rate_factors(build(deeper, **dims), network("dit", 32))


def changes(
    name: str, width: int, *, ruled: bool, rate: float = 1e-4, steps: int = 4
) -> dict[str, float]:
    """Root mean square by which the first steps change the output, features and blocks."""
    torch.manual_seed(0)
    built = network(name, width)
    adam = optimiser(built, factors_of(name, built, BASE, ruled), rate)
    x, t, cond, clean = batch(0, 8)
    seen: dict[str, Tensor] = {}
    for key, module in built.named_modules():
        if isinstance(built.get_submodule(key.rpartition(".")[0]), nn.ModuleList):

            def keep(module: nn.Module, args: Any, output: Any, key: str = key) -> None:
                if isinstance(output, Tensor):
                    seen[key] = output.detach()

            module.register_forward_hook(keep)

    def evaluate() -> Tensor:
        times, condition = built.times(t), built.condition(cond)
        output = built.denoise(x, times, condition)
        seen.update(output=output.detach(), times=times.detach(), condition=condition.detach())
        return output

    evaluate()
    before = dict(seen)
    for _ in range(steps):
        adam.zero_grad()
        (evaluate() - clean).square().mean().backward()
        adam.step()
    evaluate()
    return {key: float((seen[key] - before[key]).square().mean().sqrt()) for key in seen}


@every_network
def test_coordinates_change_alike_at_widths_64_and_512(name: str) -> None:
    """The coordinate check: without the rule some activation's change grows with the width."""
    base = changes(name, BASE, ruled=False)
    ratios = {}
    for ruled in (False, True):
        wide = changes(name, 8 * BASE, ruled=ruled)
        ratios[ruled] = {key: wide[key] / base[key] for key in base}
    assert max(ratios[False].values()) > 3
    assert max(ratios[True].values()) < 1.5
    assert min(ratios[True].values()) > 0.2
    assert ratios[True]["output"] > 0.5


def final_loss(name: str, width: int, rate: float, *, ruled: bool, steps: int = 150) -> float:
    torch.manual_seed(0)
    built = network(name, width)
    adam = optimiser(built, factors_of(name, built, 32, ruled), rate)
    cosine = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda k: min(1, (k + 1) / 20) * 0.5 * (1 + math.cos(math.pi * k / steps))
    )
    losses = []
    for step in range(steps):
        x, t, cond, clean = batch(step, 64)
        loss = (built(x, t, cond) - clean).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        cosine.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


@pytest.mark.slow
def test_the_best_learning_rate_stays_where_it_was_at_a_sixteenth_of_the_width() -> None:
    """Within one step of a factor 2; without the rule it falls by at least three such steps."""
    exponents = range(-9, -2)

    def best(width: int, ruled: bool) -> int:
        losses = {k: final_loss("concatenation_mlp", width, 2.0**k, ruled=ruled) for k in exponents}
        return min(losses, key=losses.__getitem__)

    at_base = best(32, ruled=False)
    assert abs(best(512, ruled=True) - at_base) <= 1
    assert best(512, ruled=False) <= at_base - 3

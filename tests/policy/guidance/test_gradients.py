"""Gradient guidance against closed forms, and its correction against autograd."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny
import torch
from oracles import TWO_MODES, Mixture, energy_distance
from registry import every_path
from tilted import edited, samples, tilt_energy, tilted
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance import CostGradient, EnergyGradient, Inpainting
from kinoise.policy.guidance.costs import ForbiddenDisc, Goal, Sum
from kinoise.policy.guidance.estimate import Estimate
from kinoise.policy.paths import EDM, LinearFlow, Path, VPCosine

TIMES = (0.02, 0.3, 0.7, 0.97)
SLOPE = 1.5
ONE_MODE = Mixture(*(torch.tensor([value], dtype=torch.float64) for value in (1.0, 0.4, 0.5)))


def _energy(mixture: Mixture, path: Path) -> Any:
    def energy(x: Tensor, t: float, obs: Any) -> Tensor:
        time = torch.tensor(t, dtype=torch.float64)
        return tilt_energy(mixture, path, SLOPE, x, time).sum((-2, -1))

    return energy


def _linear(actions: Tensor, obs: Any) -> Tensor:
    return -SLOPE * actions.sum((-2, -1))


@every_path
def test_exact_energies_give_the_tilted_mixture(path: Path) -> None:
    """p exp(slope x_0) of a mixture: the estimate at every level, and the samples' law."""
    truth = tilted(TWO_MODES, SLOPE)
    edit = EnergyGradient(_energy(TWO_MODES, path), limit=math.inf)
    guide = edited(TWO_MODES.denoiser(path), path, [edit])
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for t in TIMES:
        time = torch.tensor(t, dtype=torch.float64)
        exact = truth.denoiser(path)(x, time)
        assert (guide(x, time) - exact).abs().max() < 1e-9
    drawn = samples(guide, path, 3000)[:, 0]
    assert energy_distance(drawn, truth.draw(3000, torch.Generator().manual_seed(1))) < 4e-3


@every_path
def test_an_exact_classifier_gives_the_class(path: Path) -> None:
    """E_t = -log p(component | x_t) leaves that component alone (Dhariwal & Nichol 2021)."""

    def energy(x: Tensor, t: float, obs: Any) -> Tensor:
        logit = TWO_MODES.components(path, x, torch.tensor(t, dtype=torch.float64))[0]
        return -logit.log_softmax(-1)[..., 0].sum((-2, -1))

    component = Mixture(torch.ones(1).double(), TWO_MODES.means[:1], TWO_MODES.stds[:1])
    guide = edited(TWO_MODES.denoiser(path), path, [EnergyGradient(energy, limit=math.inf)])
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for t in TIMES:
        time = torch.tensor(t, dtype=torch.float64)
        exact = component.denoiser(path)(x, time)
        assert (guide(x, time) - exact).abs().max() < 1e-9
    drawn = samples(guide, path, 3000)[:, 0]
    assert energy_distance(drawn, component.draw(3000, torch.Generator().manual_seed(1))) < 4e-3


@every_path
def test_a_linear_cost_tilts_a_gaussian_exactly(path: Path) -> None:
    truth = tilted(ONE_MODE, SLOPE)
    edit = CostGradient(_linear, step="posterior", limit=math.inf, reach=math.inf)
    guide = edited(ONE_MODE.denoiser(path), path, [edit])
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for t in TIMES:
        time = torch.tensor(t, dtype=torch.float64)
        exact = truth.denoiser(path)(x, time)
        assert (guide(x, time) - exact).abs().max() < 1e-9
    drawn = samples(guide, path, 3000)[:, 0]
    assert energy_distance(drawn, truth.draw(3000, torch.Generator().manual_seed(1))) < 4e-3


@every_path
def test_a_goal_conditions_a_gaussian_exactly(path: Path) -> None:
    """The moment step is the posterior mean: p exp(-|x_0 - goal|^2 / 2 softness^2), by Bayes."""
    goal, softness = -0.6, 0.4
    precision = ONE_MODE.stds**-2 + softness**-2
    mean = (ONE_MODE.means / ONE_MODE.stds**2 + goal / softness**2) / precision
    truth = Mixture(ONE_MODE.weights, mean, precision**-0.5)
    edit = CostGradient(Goal([goal], softness=softness), reach=math.inf)
    guide = edited(ONE_MODE.denoiser(path), path, [edit])
    x = torch.linspace(-2, 2, 40, dtype=torch.float64)
    for t in TIMES:
        time = torch.tensor(t, dtype=torch.float64)
        exact = truth.denoiser(path)(x, time)
        assert (guide(x, time) - exact).abs().max() < 1e-9
    drawn = samples(guide, path, 3000)[:, 0]
    assert energy_distance(drawn, truth.draw(3000, torch.Generator().manual_seed(1))) < 4e-3


class Probe:
    """Records what the network was asked at one row, and a product with its Jacobian there."""

    needs_gradient, needs_unconditional = True, False

    def __init__(self, row: int) -> None:
        self.row, self.x, self.cotangent, self.product = row, *(torch.empty(0),) * 3
        self.t = math.nan

    def __call__(self, estimate: Estimate) -> Tensor:
        if estimate.row == self.row:
            generator = torch.Generator().manual_seed(7)
            self.cotangent = torch.randn(estimate.sample.shape, generator=generator)
            self.x, self.t = estimate.x.detach(), estimate.t
            self.product = estimate.vjp(self.cotangent)
        return estimate.sample


@pytest.mark.parametrize("network", list(tiny.NETWORKS))
def test_the_correction_is_a_true_vector_jacobian_product(network: str) -> None:
    """Through the network and the edits before, against autograd; and not the identity."""
    policy, obs = tiny.policy(network).eval(), tiny.batch(0, size=3)["obs"]
    known, half = torch.zeros(8, 2), Inpainting(torch.zeros(8, 2), 0.5)
    centred = policy.normalizer.normalize("action", known)
    estimator = policy.estimator(obs)
    for edits, after in [
        ([], lambda sample: sample),
        ([half], lambda sample: (sample + centred) / 2),
    ]:
        probe = Probe(1)
        policy.sample(obs, torch.Generator().manual_seed(0), guidance=[*edits, probe])
        t = torch.tensor([probe.t])
        _, expected = torch.autograd.functional.vjp(
            lambda x, t=t, after=after: after(estimator(x, t)), probe.x, probe.cotangent
        )
        torch.testing.assert_close(probe.product, expected, rtol=1e-4, atol=1e-5)
        alike = torch.cosine_similarity(expected.flatten(), probe.cotangent.flatten(), dim=0)
        apart = (expected - probe.cotangent).norm() / probe.cotangent.norm()
        assert apart > 0.1
        assert alike < 0.999


def test_products_of_a_network_that_mixes_steps_are_far_from_any_multiple_of_identity() -> None:
    """A cotangent on one action reaches the others, which an identity Jacobian cannot do."""
    policy, obs = tiny.policy("residual_mlp").eval(), tiny.batch(0, size=2)["obs"]
    x = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0))
    only_first = torch.zeros(2, 8, 2)
    only_first[:, 0] = 1
    _, product = torch.autograd.functional.vjp(
        lambda x: policy.estimator(obs)(x, torch.tensor([0.5])), x, only_first
    )
    assert product[:, 1:].abs().max() > 1e-2


@pytest.mark.parametrize("step", ["moment", "posterior", "dps"])
@pytest.mark.parametrize("path", ["linear_flow", "vp_cosine", "edm"])
def test_a_cost_goes_down_from_pure_noise_on_any_path(path: str, step: str) -> None:
    """Where alpha is 0 and where sigma is 80: finite, and better than without."""
    name = {"linear_flow": "LinearFlow", "vp_cosine": "VPCosine", "edm": "EDM"}[path]
    policy = tiny.policy(
        path={"_target_": f"kinoise.policy.paths.{name}"},
        objective={
            "_target_": "kinoise.policy.training.objectives.Denoising",
            "target": "v_prediction",
        },
    ).eval()
    obs, cost = tiny.batch(0, size=4)["obs"], Goal([3.0, 3.0], softness=0.5)

    def value(*edits: CostGradient) -> Tensor:
        return cost(policy.sample(obs, torch.Generator().manual_seed(0), guidance=edits), obs)

    guided = value(CostGradient(cost, step=step))
    assert torch.isfinite(guided).all()
    assert guided.mean() < value().mean()


def test_steps_do_not_depend_on_the_path() -> None:
    """The same x_0 estimate, edited at the same log-SNR, whatever alpha and sigma."""
    angles = torch.tensor([0.1, 0.8, 1.5, 1.55], dtype=torch.float64)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    energy = CostGradient(_linear, step="posterior", reach=math.inf)
    for edit in (energy, CostGradient(Goal([-0.5])), CostGradient(Goal([-0.5]), step="dps")):
        for angle in angles:
            outcomes = []
            for path in (LinearFlow(), VPCosine(), EDM()):
                guide = edited(TWO_MODES.denoiser(path), path, [edit])
                outcomes.append(guide(x * path.length(angle), path.time_at(angle)))
            torch.testing.assert_close(outcomes[1], outcomes[0], rtol=0, atol=1e-8)
            torch.testing.assert_close(outcomes[2], outcomes[0], rtol=0, atol=1e-8)


def test_gradient_steps_of_several_edits_add_up() -> None:
    path, t = LinearFlow(), torch.tensor(0.6, dtype=torch.float64)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)

    def once(*scales: float) -> Tensor:
        edits = [CostGradient(_linear, scale, "posterior", reach=math.inf) for scale in scales]
        return edited(TWO_MODES.denoiser(path), path, edits)(x, t)

    torch.testing.assert_close(once(0.2, 0.3), once(0.5))


def test_every_row_of_a_batch_has_its_own_disc() -> None:
    """By a tensor and by an observation: row i equals the call of that row alone."""
    policy, batch = tiny.policy().eval(), tiny.batch(0, size=4)["obs"]
    centres = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0], [1.0, 1.0]])
    radii = torch.tensor([1.0, 2.0, 1.5, 0.5])
    seen = {**batch, "disc": centres[:, None].expand(4, 2, 2), "size": radii[:, None, None]}

    def chunk(rows: slice, disc: ForbiddenDisc, obs: dict[str, Tensor]) -> Tensor:
        generators = [torch.Generator().manual_seed(i) for i in range(4)][rows]
        here = {key: value[rows] for key, value in obs.items()}
        return policy.sample(here, generators, guidance=[CostGradient(disc)])

    together = chunk(slice(None), ForbiddenDisc(centres, radii), batch)
    torch.testing.assert_close(chunk(slice(None), ForbiddenDisc("disc", "size"), seen), together)
    for i in range(4):
        own = ForbiddenDisc(centres[i].tolist(), float(radii[i]))
        alone = chunk(slice(i, i + 1), own, batch)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-4)
    shared = chunk(slice(None), ForbiddenDisc(centres[0].tolist(), 1.0), batch)
    assert not torch.allclose(shared[1:], together[1:], atol=1e-2)


def test_a_row_without_cost_is_left_alone() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=2)["obs"]
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    far = ForbiddenDisc(torch.tensor([[1.0, 1.0], [90.0, 90.0]]), 3.0)
    guided = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[CostGradient(far)])
    assert not torch.allclose(guided[0], plain[0], atol=1e-2)
    torch.testing.assert_close(guided[1], plain[1], rtol=0, atol=1e-5)


def test_guidance_acts_within_its_interval_only() -> None:
    path, x = LinearFlow(), torch.linspace(-1, 1, 9, dtype=torch.float64)
    guide = edited(TWO_MODES.denoiser(path), path, [CostGradient(Goal([0.9]), interval=(0.2, 0.5))])
    for t, moves in [(0.1, False), (0.3, True), (0.6, False)]:
        time = torch.tensor(t, dtype=torch.float64)
        assert torch.equal(guide(x, time), TWO_MODES.denoiser(path)(x, time)) is not moves


def test_averaging_a_cost_over_the_posterior_widens_it() -> None:
    """-log E exp(-x^2 / 2 s^2) over N(m, r^2) has the slope m / (s^2 + r^2)."""
    path, t = VPCosine(), torch.tensor(0.5, dtype=torch.float64)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    denoise = ONE_MODE.denoiser(path)

    def change(n_samples: int) -> Tensor:
        edit = CostGradient(
            Goal([0.0]), 1.0, "posterior", limit=math.inf, reach=math.inf, n_samples=n_samples
        )
        return denoise(x, t) - edited(denoise, path, [edit])(x, t)

    widened = change(0) / (1 + path.sigma(t) ** 2)
    torch.testing.assert_close(change(4096), widened, rtol=0.08, atol=1e-3)
    assert torch.equal(change(16), change(16))


def test_the_reach_bounds_a_step() -> None:
    path, t = LinearFlow(), torch.tensor(0.9, dtype=torch.float64)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    denoise = TWO_MODES.denoiser(path)
    edit = CostGradient(Sum([Goal([40.0])], [100.0]), reach=0.3)
    change = edited(denoise, path, [edit])(x, t) - denoise(x, t)
    torch.testing.assert_close(change, torch.full_like(change, 0.3))


def test_mistakes_are_named() -> None:
    with pytest.raises(PolicyError, match="did you mean 'moment'"):
        CostGradient(_linear, step="momentum")
    with pytest.raises(PolicyError, match="come in pairs"):
        CostGradient(_linear, n_samples=3)
    path, x = LinearFlow(), torch.ones(4, dtype=torch.float64)
    guide = edited(TWO_MODES.denoiser(path), path, [CostGradient(_linear)])
    with pytest.raises(PolicyError, match="use step 'posterior'"):
        guide(x, torch.tensor(0.5, dtype=torch.float64))
    with pytest.raises(PolicyError, match="no observation named 'disk'; did you mean 'disc'"):
        ForbiddenDisc("disk", 1.0)(torch.zeros(1, 8, 2), {"disc": torch.zeros(1, 2, 2)})


def test_a_gradient_is_taken_also_where_the_caller_is_in_inference_mode() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=2)["obs"]
    edit = CostGradient(Goal(position=[1.0, 1.0], step=-1))
    outside = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
    policy.train().eval()  # forget what was computed outside
    with torch.inference_mode():
        inside = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
    assert torch.equal(inside, outside)


def test_samples_of_the_cost_come_in_opposite_pairs() -> None:
    """At the bottom of a symmetric cost the slope averaged over the posterior is nothing."""

    def cost(actions: Tensor, obs: object) -> Tensor:
        return 0.5 * actions.square().sum((-2, -1))

    zeros = torch.zeros(3, 4, 2)
    estimate = Estimate(
        sample=zeros,
        x=zeros,
        t=0.5,
        alpha=0.6,
        sigma=0.8,
        row=0,
        n_rows=1,
        obs={},
        to_actions=lambda sample: sample,
        to_normalized=lambda actions: actions,
        without_obs=lambda: zeros,
    )
    _, slope = CostGradient(cost, n_samples=6)._slope(estimate)
    assert slope.abs().max() < 1e-6

"""Classifier-free guidance: what it is exactly, where its law is known, and what it costs."""

from __future__ import annotations

import pytest
import tiny
import torch
from oracles import TWO_MODES, Mixture, energy_distance
from registry import every_path
from tilted import RoundMixture, edited, planar_energy_distance, samples

from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance import ClassifierFree
from kinoise.policy.paths import LinearFlow, Path

TIMES = (0.02, 0.3, 0.7, 0.97)
#: What the observation adds: another law on the line.
SEEING = Mixture(
    torch.tensor([0.8, 0.2], dtype=torch.float64),
    torch.tensor([-0.5, 0.9], dtype=torch.float64),
    torch.tensor([0.3, 0.2], dtype=torch.float64),
)
#: Two modes along one diagonal of the plane; the observation moves both along the other.
BLIND = RoundMixture(
    torch.tensor([0.35, 0.65], dtype=torch.float64),
    torch.tensor([[-0.6, 0.6], [0.5, -0.5]], dtype=torch.float64),
    0.3,
)
SHIFT = torch.tensor([0.25, 0.25], dtype=torch.float64)


def moved(scale: float) -> RoundMixture:
    """The density proportional to p(x | obs)^scale p(x)^(1 - scale), normalised."""
    return RoundMixture(BLIND.weights, BLIND.means + scale * SHIFT, BLIND.std)


@every_path
@pytest.mark.parametrize("t", TIMES)
def test_the_guided_score_is_the_combination_of_the_scores(path: Path, t: float) -> None:
    """On any two laws: alpha x_0 - x = sigma^2 grad [scale log p_c + (1 - scale) log p_u]."""
    scale, time = 2.5, torch.tensor(t, dtype=torch.float64)
    x = torch.linspace(-2, 2, 41, dtype=torch.float64).requires_grad_()
    log_density = scale * SEEING.log_density(path, x, time)
    log_density = log_density + (1 - scale) * TWO_MODES.log_density(path, x, time)
    (score,) = torch.autograd.grad(log_density.sum(), x)
    guide = edited(
        SEEING.denoiser(path), path, [ClassifierFree(scale)], blind=TWO_MODES.denoiser(path)
    )
    implied = path.alpha(time) * guide(x, time) - x
    assert (implied - path.sigma(time) ** 2 * score).abs().max() < 1e-9


@every_path
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_samples_have_the_tilted_law_where_the_family_is_closed(path: Path, scale: float) -> None:
    """The two laws differ by a Gaussian factor of its own, so noise and tilt commute."""
    guide = edited(
        moved(1.0).denoiser(path),
        path,
        [ClassifierFree(scale)],
        blind=BLIND.denoiser(path),
        action_dim=2,
    )
    x = torch.randn(50, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for t in TIMES:
        time = torch.tensor(t, dtype=torch.float64)
        exact = moved(scale).denoiser(path)(x, time)
        assert (guide(x, time) - exact).abs().max() < 1e-9
    truth = moved(scale).draw(3000, torch.Generator().manual_seed(1))
    assert planar_energy_distance(samples(guide, path, 3000, entries=2), truth) < 4e-3


def test_in_general_the_law_is_another_one() -> None:
    """The known limit: what is sampled is not p_c^scale p_u^(1 - scale) (Bradley & Nakkiran)."""
    path, scale = LinearFlow(), 3.0
    guide = edited(
        SEEING.denoiser(path), path, [ClassifierFree(scale)], blind=TWO_MODES.denoiser(path)
    )
    x, data = torch.linspace(-3, 3, 6001, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    log_density = scale * SEEING.log_density(path, x, data)
    log_density = log_density + (1 - scale) * TWO_MODES.log_density(path, x, data)
    drawn = torch.multinomial(
        log_density.softmax(0), 3000, True, generator=torch.Generator().manual_seed(1)
    )
    assert energy_distance(samples(guide, path, 3000)[:, 0], x[drawn]) > 4e-3


def test_scale_one_and_times_outside_the_interval_spare_the_second_evaluation() -> None:
    policy = tiny.policy(obs_dropout=0.1).eval()
    obs, calls = tiny.batch(0, size=2)["obs"], []
    run = policy.network.denoise

    def counted(x: torch.Tensor, times: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        denoised: torch.Tensor = run(x, times, condition)
        return denoised

    policy.network.denoise = counted
    for guidance, expected in [
        (ClassifierFree(3.0), 8),  # four rows, twice each
        (ClassifierFree(1.0), 4),
        (ClassifierFree(3.0, interval=(0.4, 0.8)), 6),  # rows at t = 1, .75, .5, .25
    ]:
        calls.clear()
        policy.sample(obs, guidance=[guidance])
        assert len(calls) == expected


def test_the_scale_moves_between_blind_and_seeing() -> None:
    policy, obs = tiny.policy(obs_dropout=0.1).eval(), tiny.batch(0, size=3)["obs"]
    other = {key: value + 1 for key, value in obs.items()}

    def chunk(where: dict[str, torch.Tensor], scale: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return policy.sample(where, generator, guidance=[ClassifierFree(scale)])

    torch.testing.assert_close(chunk(obs, 0.0), chunk(other, 0.0))
    assert not torch.allclose(chunk(obs, 2.0), chunk(other, 2.0))
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    torch.testing.assert_close(chunk(obs, 1.0), plain)


def test_rescale_gives_every_row_the_deviation_it_had() -> None:
    path, t = LinearFlow(), torch.tensor(0.5, dtype=torch.float64)
    x = torch.randn(5 * 8 * 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def deviation(rescale: float) -> torch.Tensor:
        guide = edited(
            SEEING.denoiser(path),
            path,
            [ClassifierFree(4.0, rescale=rescale)],
            blind=TWO_MODES.denoiser(path),
            horizon=8,
            action_dim=2,
        )
        return guide(x, t).reshape(5, -1).std(-1)

    seeing = SEEING.denoiser(path)(x, t).reshape(5, -1).std(-1)
    torch.testing.assert_close(deviation(1.0), seeing)
    torch.testing.assert_close(deviation(0.5), (deviation(0.0) + seeing) / 2)


def test_mistakes_are_named() -> None:
    with pytest.raises(PolicyError, match="interval low <= high"):
        ClassifierFree(interval=(0.9, 0.1))
    policy = tiny.policy().eval()
    with pytest.raises(PolicyError, match="obs_dropout > 0"):
        policy.set_guidance([ClassifierFree()])
    with pytest.raises(PolicyError, match="obs_dropout > 0"):
        policy.sample(tiny.batch(0)["obs"], guidance=[ClassifierFree()])

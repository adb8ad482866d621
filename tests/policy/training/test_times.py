"""Distributions of the training time: quantiles, strata, tokens."""

from __future__ import annotations

import pytest
import torch
from registry import entries, every_path

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import EDM, LinearFlow, Path
from kinoise.policy.training.times import (
    Beta,
    LogitNormal,
    LogNormal,
    Mode,
    PerToken,
    Shifted,
    TimeDistribution,
    Uniform,
    shifted,
)

TIMES: dict[str, TimeDistribution] = entries("time")
every_time = pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())


@every_time
@every_path
def test_times_lie_between_data_and_noise_and_rise_with_their_quantile(
    times: TimeDistribution, path: Path
) -> None:
    u = torch.linspace(0, 1, 201, dtype=torch.float64)
    t = times.quantile(u, path)
    assert ((t >= 0) & (t <= 1)).all()
    assert (t.diff() >= 0).all()
    shape = (64, 8) if isinstance(times, PerToken) else (64,)
    assert times.sample(64, 8, path, torch.Generator().manual_seed(0)).shape == shape


def test_per_token_times_differ_within_a_chunk() -> None:
    t = PerToken(Uniform()).sample(32, 8, LinearFlow(), torch.Generator().manual_seed(0))
    assert (t.std(1) > 0).all()


def test_a_fraction_of_the_chunks_may_share_one_time_over_their_tokens() -> None:
    times = PerToken(Uniform(), together=0.25)
    t = times.sample(32, 8, LinearFlow(), torch.Generator().manual_seed(0))
    shared = t.std(1) == 0
    assert shared.sum() == 8
    # The shared times come from the whole distribution too.
    assert t[shared][:, 0].min() < 0.3
    assert t[shared][:, 0].max() > 0.7


@every_path
@pytest.mark.parametrize("times", [Uniform(), LogNormal(0.3, 0.8), PerToken(LogNormal())])
def test_a_density_is_the_slope_of_the_fraction_below(times: TimeDistribution, path: Path) -> None:
    u = torch.linspace(0.2, 0.8, 4001, dtype=torch.float64)
    t = times.quantile(u, path)
    inside = (t[:-2] > 1e-3) & (t[2:] < 1 - 1e-3)  # a path may end before the distribution does
    slope = (u[2:] - u[:-2]) / (t[2:] - t[:-2])
    density = times.density(t[1:-1], path)
    assert inside.any()
    torch.testing.assert_close(density[inside], slope[inside], rtol=1e-4, atol=0)


def test_times_without_a_density_say_so() -> None:
    with pytest.raises(PolicyError, match=r"Mode times have no density.*time=uniform"):
        Mode().density(torch.tensor([0.5]), LinearFlow())


def test_times_fill_every_stratum_of_probability() -> None:
    t = Uniform().sample(100, 8, LinearFlow(), torch.Generator().manual_seed(0))
    assert (t.sort().values * 100).floor().tolist() == list(range(100))


def _median(times: TimeDistribution, path: Path) -> float:
    return float(times.quantile(torch.tensor([0.5], dtype=torch.float64), path))


def test_medians_are_those_of_the_published_laws() -> None:
    flow = LinearFlow()
    assert _median(Beta(1.5), flow) == pytest.approx(0.5 ** (1 / 1.5))
    assert _median(LogitNormal(0.7), flow) == pytest.approx(1 / (1 + 2.718281828**-0.7))
    assert _median(Mode(1.0), flow) == pytest.approx(0.5)
    edm = EDM()
    sigma = edm.sigma(torch.tensor(_median(LogNormal(-1.2, 1.2), edm)).double())
    assert float(sigma.log()) == pytest.approx(-1.2)


def test_the_density_of_the_mode_distribution_peaks_in_the_middle() -> None:
    t = Mode(1.0).quantile(torch.linspace(0, 1, 1001).double(), LinearFlow())
    density = 1 / t.diff()
    assert density.argmax() == pytest.approx(500, abs=2)


def test_a_shift_multiplies_the_noise_to_signal_ratio_on_any_path() -> None:
    u = torch.linspace(0.05, 0.95, 19).double()
    flow = LinearFlow()
    torch.testing.assert_close(Shifted(Uniform(), 3.0).quantile(u, flow), 3 * u / (1 + 2 * u))
    edm = EDM()
    before, after = edm.sigma(u), edm.sigma(shifted(u, 2.0, edm))
    torch.testing.assert_close(1 / after - 1 / 80, (1 / before - 1 / 80) / 2)
    torch.testing.assert_close(after[0], 2 * before[0], rtol=1e-6, atol=0)


@every_path
def test_a_shift_leaves_the_ends_in_place(path: Path) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    first, last = shifted(ends, 3.0, path)
    assert last == pytest.approx(1.0, abs=1e-6)
    if path.sigma(ends)[0] < 1e-8:  # a learned path keeps a trace of noise, which is shifted
        assert first == pytest.approx(0.0, abs=1e-6)

"""Compiled tables against the diffusers schedulers they came from, and against exact solutions."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import TWO_MODES, fine_ode, walk
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.grids import Karras, UniformLogSNR, UniformTime
from kinoise.policy.paths import LinearFlow, Path, VPCosine, VPLinear
from kinoise.policy.schedulers import (
    SOLVERS,
    build_scheduler,
    clip_angles,
    compile_table,
    model_output,
    noise_from,
    row_angles,
)
from kinoise.policy.tables import run_table

PATHS = [LinearFlow(), VPLinear(), VPCosine()]
EVERY_SOLVER = pytest.mark.parametrize("name", list(SOLVERS))
EVERY_PATH = pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)


def _nonlinear(x: Tensor, t: Tensor) -> Tensor:
    """A smooth made-up x_0 estimate that depends on state and time."""
    return torch.tanh(1.3 * x + t) * (1 - 0.5 * t)


@EVERY_SOLVER
@EVERY_PATH
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 50])
def test_a_table_equals_its_scheduler_step_by_step(name: str, path: Path, n: int) -> None:
    solver = SOLVERS[name]
    t = UniformTime()(n, path)
    table = compile_table(name, t, path)
    angles = clip_angles(solver, path.angle(t))
    scheduler = build_scheduler(solver, angles)
    levels = row_angles(solver, scheduler, angles)
    lengths = solver.coordinates.length(levels)
    ours = torch.hypot(path.alpha(path.time_at(levels)), path.sigma(path.time_at(levels)))
    noises = torch.randn(1 + n, 1, 3, 2, generator=torch.Generator().manual_seed(n)).double()

    fresh = iter(noises[1:])
    state = noises[0] * lengths[0] * levels[0].sin()
    states = [state * ours[0] / lengths[0]]
    estimates = []
    with noise_from(scheduler, lambda shape: next(fresh)):
        for k in range(len(levels) - 1):
            estimates.append(_nonlinear(states[k], table.t[k]))
            output = model_output(solver, state, estimates[k], levels[k])
            state = scheduler.step(output, scheduler.timesteps[k], state).prev_sample.double()
            states.append(state * ours[k + 1] / lengths[k + 1])
    for k, expected in enumerate(states):
        row = table.init[k] * noises[0]
        for j in range(k):
            row = row + table.estimate[k, j] * estimates[j]
        for j in range(table.n_noises):
            row = row + table.noise[k, j] * noises[1 + j]
        scale = max(1.0, float(expected.abs().max()))
        assert (row - expected).abs().max() < 1e-5 * scale


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmpp_2m", "unipc", "heun", "flow_euler"])
def test_a_table_equals_the_scheduler_as_diffusers_itself_sets_it_up(name: str, n: int) -> None:
    """Not our grid in their scheduler, but their own grid, driven as their pipelines do."""
    import diffusers

    solver = SOLVERS[name]
    spacing = {} if name == "flow_euler" else {"timestep_spacing": "trailing"}
    scheduler = getattr(diffusers, solver.scheduler)(**{**solver.settings, **spacing})
    scheduler.set_timesteps(n)
    if name in ("ddpm", "ddim"):
        ratios = (1 / scheduler.alphas_cumprod[scheduler.timesteps] - 1).sqrt()
        angles = torch.atan(ratios.double())
    elif name == "flow_euler":
        angles = torch.atan2(
            *torch.stack([scheduler.sigmas, 1 - scheduler.sigmas])[:, :-1].double()
        )
    else:
        ratios = scheduler.sigmas[:-1].double()
        angles = torch.atan(ratios[[0, *range(1, len(ratios), 2)]] if name == "heun" else ratios)
    path = LinearFlow()  # has a time for every noise level
    table = compile_table(name, path.time_at(angles), path)
    levels = row_angles(solver, scheduler, angles)
    lengths = solver.coordinates.length(levels)
    ours = torch.hypot(path.alpha(path.time_at(levels)), path.sigma(path.time_at(levels)))

    noises = torch.randn(1 + n, 1, 3, 2, generator=torch.Generator().manual_seed(7)).double()
    fresh = iter(noises[1:])
    state = noises[0] * lengths[0] * levels[0].sin()
    with noise_from(scheduler, lambda shape: next(fresh)):
        for k, timestep in enumerate(scheduler.timesteps):
            estimate = _nonlinear(state * ours[k] / lengths[k], table.t[k])
            output = model_output(solver, state, estimate, levels[k])
            state = scheduler.step(output, timestep, state).prev_sample.double()
    walked = walk(table, _nonlinear, noises[: 1 + table.n_noises].flatten(1)).view_as(state)
    assert (walked - state).abs().max() < 1e-4


@EVERY_SOLVER
@EVERY_PATH
@pytest.mark.parametrize("n", [1, 2, 10, 50])
def test_a_point_mass_comes_back_as_a_point(name: str, path: Path, n: int) -> None:
    table = compile_table(name, UniformTime()(n, path), path)
    point = torch.tensor([0.7, -0.2])
    noises = torch.randn(1 + table.n_noises, 64, 3, 2)
    out = run_table(table, lambda k, x: point.expand_as(x), noises)
    assert (out - point).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("name", "order", "slack"),
    [
        ("ddim", 1, 0.1),
        ("flow_euler", 1, 0.1),
        ("dpmpp_2m", 2, 0.15),
        ("heun", 2, 0.15),
        ("flow_heun", 2, 0.15),
        ("unipc", 2.85, 0.15),
    ],
)
def test_a_solver_converges_at_its_order_on_a_mixture(
    name: str, order: float, slack: float
) -> None:
    path, start, stop = VPLinear(), 1.0, 0.05
    denoise = TWO_MODES.denoiser(path)
    start_noise = torch.randn(48, generator=torch.Generator().manual_seed(0)).double()[None]
    errors = []
    for n in (40, 80, 160):
        grid = torch.linspace(start, stop, n + 1, dtype=torch.float64)
        per_step = 2 if name in ("heun", "flow_heun") else 1
        table = compile_table(name, grid, path).truncated(per_step * n)
        exact = fine_ode(path, denoise, table.init[0] * start_noise[0], float(table.t[0]), stop)
        errors.append(float((walk(table, denoise, start_noise) - exact).abs().max()))
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=slack)
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpmpp_2m", "unipc", "heun", "flow_euler"])
def test_samples_of_a_mixture_have_its_distribution(name: str) -> None:
    """Energy distance of 3000 samples; its null 95 % quantile is 1.8e-3."""
    path = VPLinear()
    generator = torch.Generator().manual_seed(5)
    grid = Karras(sigma_min=0.005) if name == "heun" else UniformTime()
    steps = 300 if name == "ddpm" else 60
    table = compile_table(name, grid(steps, path), path)
    noises = torch.randn(1 + table.n_noises, 3000, generator=generator, dtype=torch.float64)
    drawn = walk(table, TWO_MODES.denoiser(path), noises)
    truth = TWO_MODES.draw(3000, generator)
    assert _energy_distance(drawn, truth) < 4e-3


def _energy_distance(a: Tensor, b: Tensor) -> float:
    def mean(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, None] - y).abs().mean()

    return float(2 * mean(a, b) - mean(a, a) - mean(b, b))


def test_ddim_with_eta_one_is_ddpm() -> None:
    path = VPCosine()
    t = UniformTime()(7, path)
    noisy, ancestral = compile_table("ddim", t, path, eta=1.0), compile_table("ddpm", t, path)
    torch.testing.assert_close(noisy.init, ancestral.init, atol=1e-7, rtol=0)
    torch.testing.assert_close(noisy.estimate, ancestral.estimate, atol=1e-7, rtol=0)
    torch.testing.assert_close(noisy.noise.abs(), ancestral.noise.abs(), atol=1e-6, rtol=0)


def test_euler_on_straight_lines_is_ddim_on_any_path() -> None:
    """Both take x_0 as constant over a step, which no choice of coordinates changes."""
    for path in PATHS:
        t = UniformTime(0.99)(9, path)
        euler, ddim = compile_table("flow_euler", t, path), compile_table("ddim", t, path)
        torch.testing.assert_close(euler.estimate, ddim.estimate, atol=1e-6, rtol=0)


def test_a_solver_gives_the_same_samples_along_every_path() -> None:
    """Matching log-SNR, the paths differ by a factor: the same data come out."""
    angles = torch.atan(torch.tensor([60.0, 8.0, 2.0, 0.6, 0.1], dtype=torch.float64))
    noise = torch.randn(1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outcomes = []
    for path in (VPLinear(), LinearFlow(), VPCosine()):
        table = compile_table("dpmpp_2m", path.time_at(angles), path)
        outcomes.append(walk(table, TWO_MODES.denoiser(path), noise))
    torch.testing.assert_close(outcomes[0], outcomes[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(outcomes[0], outcomes[2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("grid", [UniformTime(), Karras(), UniformLogSNR()])
@EVERY_PATH
def test_grids_decrease_within_the_path(grid: UniformTime, path: Path) -> None:
    for n in (1, 2, 9):
        t = grid(n, path)
        assert t.shape == (n,)
        assert (t.diff() < 0).all()
        assert 0 < t[-1] <= t[0] <= 1


def test_bad_grids_names_and_options_are_refused_in_one_line() -> None:
    path, t = LinearFlow(), torch.tensor([0.9, 0.5])
    with pytest.raises(PolicyError, match="must decrease"):
        compile_table("ddim", t.flip(0), path)
    with pytest.raises(PolicyError, match="did you mean 'dpmpp_2m'"):
        compile_table("dpmp_2m", t, path)
    with pytest.raises(PolicyError, match="takes no option"):
        compile_table("dpmpp_2m", t, path, eta=1.0)

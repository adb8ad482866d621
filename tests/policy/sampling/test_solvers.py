"""Every solver along every path, against exact solutions; and our own against their formulas."""

from __future__ import annotations

import functools
import math
import re
from itertools import pairwise

import pytest
import torch
from oracles import TWO_MODES, energy_distance, fine_ode, walk
from registry import PATHS, every_path, every_solver, every_target
from torch import Tensor

from kinoise.policy.paths import LinearFlow, Path, VEGeometric, VPLinear
from kinoise.policy.sampling.grids import UniformLogSNR, UniformTime
from kinoise.policy.sampling.registry import OWN, SCHEDULERS, SOLVERS, compile_table, noise_from
from kinoise.policy.sampling.table import Table, run_table
from kinoise.policy.targets import Frame, frame
from kinoise.scripts.command import catalogue

every_own = pytest.mark.parametrize("solver", list(OWN))
#: Solvers that walk in the path's own time, and so differ from path to path.
IN_TIME = ("euler", "reverse_sde", "predictor_corrector", "tcd")


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@functools.cache
def _log_snr_times(n: int, along: str, low: float = 0.02, high: float = 80.0) -> Tensor:
    return UniformLogSNR(low, high)(n, PATHS[along])


# Matrices over every solver and every path.


@every_solver
def test_a_point_mass_comes_back_as_a_point(solver: str) -> None:
    """From each path's own end, alpha = 0 and sigma = 80 included, to the data themselves."""
    point = torch.tensor([0.7, -0.2], dtype=torch.float64)
    for name, path in PATHS.items():
        for n in (1, 2, 10):
            table = compile_table(solver, UniformTime()(n, path), path)
            noises = _normal(1 + table.n_noises, 16, 3, 2)
            out = run_table(table, lambda k, x: point.expand_as(x), noises)
            assert (out - point).abs().max() < 1e-6, (name, n)


@every_solver
def test_a_chain_starts_with_the_noise_of_its_first_level(solver: str) -> None:
    times = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    for path in PATHS.values():
        table = compile_table(solver, times, path)
        torch.testing.assert_close(table.init[0], path.sigma(table.t[0]))
        assert not table.noise[0].any()
        assert torch.equal(table.estimate, table.estimate.tril(-1))


#: Step counts that end whole blocks of solvers of two and of three stages.
STEPS = (84, 168)
BAND = {1: 0.1, 2: 0.15}


@functools.cache
def _exact(high: float, low: float) -> tuple[Tensor, Tensor]:
    """Return noises, and what the ODE makes of them at sigma / alpha = low, of length one."""
    path, noise = LinearFlow(), _normal(48)
    angles = torch.tensor([high, low], dtype=torch.float64).atan()
    start, stop = path.time_at(angles).tolist()
    begin = path.sigma(path.time_at(angles[:1])) * noise
    end = fine_ode(path, TWO_MODES.denoiser(path), begin, start, stop)
    return noise, end / path.length(angles[1])


def _rate(solver: str, along: str) -> float:
    path, low = PATHS[along], 0.05
    high = min(148.0, float(path.angle(torch.ones(1, dtype=torch.float64)).tan()))
    noise, exact = _exact(high, low)
    scale = path.length(torch.tensor(low, dtype=torch.float64).atan())
    errors = []
    for n in STEPS:
        table = compile_table(solver, _log_snr_times(n + 1, along, low, high), path)
        # The last evaluation is at the last level; what follows is the jump to the data.
        table = table.truncated(table.n_evaluations - 1)
        reached = walk(table, TWO_MODES.denoiser(path), noise[None]) / scale
        errors.append(float((reached - exact).abs().max()))
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize("solver", [name for name, s in SOLVERS.items() if s.order is not None])
def test_a_solver_converges_at_its_order_on_a_mixture(solver: str) -> None:
    """Ours along every path; those of diffusers along one, as their tables differ by a factor."""
    order = SOLVERS[solver].order
    for along in PATHS if solver in OWN else ["vp_linear"]:
        rate = _rate(solver, along)
        assert order - BAND.get(order, 0.3) < rate < order + 0.5, along


@every_solver
def test_samples_of_a_mixture_have_its_distribution(solver: str) -> None:
    """Energy distance of 3000 samples; its null 95 % quantile is 1.8e-3."""
    row = SOLVERS[solver]
    # A jump below the next time is exact for gamma = 1 and in the limit of gamma = 0.
    options = {"gamma": 1.0} if solver == "tcd" else {}
    n = 20 if row.jumps else {None: 50, 1: 40}.get(row.order, 20)
    n = 200 if solver in ("euler", "langevin") else n
    truth = TWO_MODES.draw(3000, torch.Generator().manual_seed(5))
    for along, path in PATHS.items():
        table = compile_table(solver, _log_snr_times(n, along), path, **options)
        noises = _normal(1 + table.n_noises, 3000, seed=5)
        estimate = TWO_MODES.flow_map(path) if row.jumps else TWO_MODES.denoiser(path)
        assert energy_distance(walk(table, estimate, noises), truth) < 4e-3, along


@every_path
@every_target
def test_whatever_the_network_predicts_every_solver_gives_the_same_samples(
    path: Path, target: str
) -> None:
    """The exact network in the words of a target, read back at each evaluation as a policy does."""
    denoise = TWO_MODES.denoiser(path)
    for solver in SOLVERS:
        # Noise prediction says nothing of x_0 where alpha = 0: start a little later.
        table = compile_table(solver, UniformTime(0.98)(4, path), path)
        level = frame(target, path, table.t)

        def estimate(k: int, x: Tensor, table: Table = table, level: Frame = level) -> Tensor:
            here = Frame(level.alpha[k], level.sigma[k], level.a[k], level.b[k])
            sample = denoise(x, table.t[k])
            prediction = here.target(sample, (x - here.alpha * sample) / here.sigma)
            return here.sample(x, prediction)

        noises = _normal(1 + table.n_noises, 4, 3, 2)
        direct = run_table(table, lambda k, x, table=table: denoise(x, table.t[k]), noises)
        read_back = run_table(table, estimate, noises)
        torch.testing.assert_close(read_back, direct, rtol=0, atol=1e-6, msg=solver)


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in IN_TIME])
def test_every_pair_of_paths_gives_the_same_samples(solver: str) -> None:
    """At matching log-SNR the paths differ by a factor, and the same data come out."""
    outcomes = []
    for along, path in PATHS.items():
        table = compile_table(solver, _matched(along), path)
        noises = _normal(1 + table.n_noises, 40)
        outcomes.append(walk(table, TWO_MODES.denoiser(path), noises))
    for outcome in outcomes[1:]:
        torch.testing.assert_close(outcome, outcomes[0], atol=1e-6, rtol=0)


@functools.cache
def _matched(along: str) -> Tensor:
    angles = torch.tensor([49.0, 8.0, 2.0, 0.6, 0.1], dtype=torch.float64).atan()
    return PATHS[along].time_at(angles)


# Our own solvers.


def _nonlinear(x: Tensor, t: Tensor | float) -> Tensor:
    return torch.tanh(1.3 * x + t) * (1 - 0.5 * t)


class Live:
    """Runs a solver on real states instead of a tape."""

    def __init__(self, noises: Tensor) -> None:
        self.noises = iter(noises)

    def start(self) -> Tensor:
        return next(self.noises)

    def estimate(self, x: Tensor, t: float) -> Tensor:
        return _nonlinear(x, t)

    def noise(self) -> Tensor:
        return next(self.noises)


@every_own
@every_path
def test_a_tape_s_table_equals_a_direct_run(solver: str, path: Path) -> None:
    row = OWN[solver]
    for n in (1, 2, 3, 5, 10, 50):
        times = UniformTime()(n, path)
        table = compile_table(solver, times, path)
        noises = _normal(1 + max(table.n_noises, 2 * n), 6)
        ran = row.solve(Live(noises), path, times, **row.settings)
        walked = walk(table, _nonlinear, noises[: 1 + table.n_noises])
        torch.testing.assert_close(walked, ran, rtol=1e-9, atol=1e-9)


def _same(one: Table, other: Table, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(one.t, other.t, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.init, other.init, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.estimate, other.estimate, rtol=0, atol=tolerance)
    torch.testing.assert_close(one.noise.abs(), other.noise.abs(), rtol=0, atol=tolerance)


@every_path
@pytest.mark.parametrize(
    ("ours", "options", "theirs", "their_options"),
    [
        ("exponential_1", {}, "ddim", {}),
        ("exponential_1", {}, "flow_euler", {}),
        ("exponential_1", {}, "euler_discrete", {}),
        ("exponential", {}, "dpmpp_2m", {"solver_type": "heun"}),
        ("exponential_sde", {"eta": 0.0}, "ddim", {}),
        ("exponential_sde", {}, "ddpm", {}),
        ("exponential_sde", {}, "sde_dpmpp_1", {}),
        ("exponential_sde", {}, "euler_ancestral", {}),
        ("exponential_sde", {"order": 2}, "sde_dpmpp_2m", {"solver_type": "heun"}),
        ("consistency", {}, "lcm", {}),
        ("consistency", {}, "consistency_models", {}),
        ("consistency", {}, "scm", {}),
        ("consistency", {}, "flow_lcm", {}),
        ("tcd", {"gamma": 1.0}, "lcm", {}),
        ("tcd", {"gamma": 0.0}, "ddim", {}),
    ],
)
def test_one_method_under_two_names_is_one_table(
    path: Path, ours: str, options: dict[str, float], theirs: str, their_options: dict[str, str]
) -> None:
    angles = torch.tensor([49.0, 12.0, 3.0, 1.0, 0.5, 0.2, 0.05], dtype=torch.float64).atan()
    times = path.time_at(angles)
    one = compile_table(ours, times, path, **options)
    _same(one, compile_table(theirs, times, path, **their_options), 1e-6)


def test_tcd_takes_the_steps_of_its_scheduler_on_its_own_schedule() -> None:
    from diffusers import TCDScheduler

    scheduler = TCDScheduler(prediction_type="sample")
    scheduler.set_timesteps(4)
    path = _Discrete(scheduler.alphas_cumprod.double())
    table = compile_table("tcd", scheduler.timesteps.double() / 1000, path, gamma=0.3)
    noises = _normal(4, 1, 3, 2)
    state, states, fresh = noises[0] * table.init[0], [], iter(noises[1:])
    with noise_from(scheduler, lambda shape: next(fresh)):
        for timestep in scheduler.timesteps:
            states.append(state)
            estimate = torch.tanh(1.3 * state)
            state = scheduler.step(estimate, timestep, state, eta=0.3).prev_sample.double()
    # Theirs ends at its smallest noise level, ours at the data: all rows but the last.
    seen = torch.cat([noises[:1], torch.tanh(1.3 * torch.stack(states)), noises[1:]])
    rows = torch.cat([table.init[:, None], table.estimate, table.noise], 1)
    walked = (rows[:4] @ seen.flatten(1)).view(4, *state.shape)
    torch.testing.assert_close(walked, torch.stack(states), rtol=0, atol=1e-6)


class _Discrete(VPLinear):
    """The variance-preserving path of a list of alpha^2, at times index / length."""

    def __init__(self, alphas_cumprod: Tensor) -> None:
        object.__setattr__(self, "squares", alphas_cumprod)

    def log_alpha(self, t: Tensor) -> Tensor:
        index = torch.floor(t * len(self.squares) + 1e-6).long()
        return self.squares[index].log() / 2


def test_euler_maruyama_is_the_reverse_sde_of_the_linear_vp_path() -> None:
    """dx = [-beta x / 2 - beta score] dt + sqrt(beta) dw (Song et al. 2021, eqs. 6 and 11)."""
    path = VPLinear()
    times = torch.tensor([0.9, 0.87, 0.83, 0.8], dtype=torch.float64)
    noises, point = _normal(4, 5), 0.3
    x = path.sigma(times[0]) * noises[0]
    for k in range(3):
        t, dt = times[k], times[k] - times[k + 1]
        beta = path.beta_min + t * (path.beta_max - path.beta_min)
        score = -(x - path.alpha(t) * point) / path.sigma(t) ** 2
        x = x + dt * (beta * x / 2 + beta * score) + (beta * dt).sqrt() * noises[1 + k]
    table = compile_table("reverse_sde", times, path).truncated(3)
    torch.testing.assert_close(walk(table, lambda x, t: torch.full_like(x, point), noises), x)


@pytest.mark.parametrize("path", [VEGeometric(), VPLinear()])
def test_predictor_and_corrector_are_those_of_song(path: Path) -> None:
    """Algorithms 2 and 4 for VE, 3 and 5 for VP, with the expected norms in the step size."""
    times = torch.tensor([0.6, 0.5, 0.4], dtype=torch.float64)
    noises, point, snr = _normal(7, 5), 0.3, 0.16
    x, fresh = path.sigma(times[0]) * noises[0], iter(noises[1:])

    def score(x: Tensor, t: Tensor) -> Tensor:
        return -(x - path.alpha(t) * point) / path.sigma(t) ** 2

    for t, s in pairwise(times):
        if isinstance(path, VEGeometric):
            gap = path.sigma(t) ** 2 - path.sigma(s) ** 2
            x = x + gap * score(x, t) + gap.sqrt() * next(fresh)
        else:
            beta = 1 - (path.alpha(t) / path.alpha(s)) ** 2
            x = (2 - (1 - beta).sqrt()) * x + beta * score(x, t) + beta.sqrt() * next(fresh)
        for _ in range(2):
            step = 2 * (snr * path.sigma(s)) ** 2
            x = x + step * score(x, s) + (2 * step).sqrt() * next(fresh)
    table = compile_table("predictor_corrector", times, path, corrections=2, snr=snr)
    # Row 6 is the last evaluation: predictor and two corrections, twice.
    table = table.truncated(6)
    torch.testing.assert_close(walk(table, lambda x, t: torch.full_like(x, point), noises), x)


def test_churn_between_none_and_full_keeps_the_variance_of_the_noise() -> None:
    path = LinearFlow()
    for eta in (0.0, 0.3, 1.0, 2.0):
        table = compile_table("exponential_sde", UniformTime()(6, path), path, eta=eta)
        noise = torch.cat([table.init[:, None], table.noise], 1).norm(dim=1)[:-1]
        torch.testing.assert_close(noise, path.sigma(table.t))


def test_every_solver_names_its_source() -> None:
    for name, row in SOLVERS.items():
        assert len(row.source) > 10, name
    assert set(SCHEDULERS) | set(OWN) == set(SOLVERS)


def test_every_solver_is_named_by_a_sampler_s_config() -> None:
    folder = catalogue.config_folder() / "sampler"
    words = {
        word for file in folder.glob("*.yaml") for word in re.findall(r"\w+", file.read_text())
    }
    assert set(SOLVERS) <= words

"""Tables compiled from diffusers against the schedulers they came from."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from oracles import walk
from registry import PATHS
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, Path, VPCosine
from kinoise.policy.sampling.grids import UniformTime
from kinoise.policy.sampling.registry import SCHEDULERS, Scheduler, compile_table, noise_from

#: Schedulers whose own grid is a list of sigma / alpha.
LISTS = [
    *("dpmpp_1", "dpmpp_2m", "dpmpp_3m", "dpmpp_2s", "dpmpp_3s", "sde_dpmpp_2m"),
    *("unipc", "unipc_3", "deis_3", "sa_solver", "heun", "kdpm2", "kdpm2_ancestral"),
    *("euler_discrete", "euler_ancestral", "edm_euler", "edm_dpmpp_2m", "lms"),
]

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


def _nonlinear(u: Tensor, angle: Tensor) -> Tensor:
    """A smooth made-up x_0 estimate of the state over its length, and of the noise angle."""
    return torch.tanh(1.3 * u + angle) * (1 - 0.5 * angle.sin())


def _angles(n: int) -> Tensor:
    """Noise angles that every path has, equal in log-SNR."""
    ends = torch.tensor([45.0, 0.02], dtype=torch.float64).log().tolist()
    return torch.linspace(*ends, n, dtype=torch.float64).exp().atan()


@functools.cache
def _times(n: int, along: str) -> Tensor:
    return PATHS[along].time_at(_angles(n))


def _drive(
    solver: Scheduler, scheduler: Any, levels: Tensor, noises: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each state over its length, and the estimate there, as the scheduler itself goes."""
    lengths, fresh = solver.coordinates.length(levels), iter(noises[1:])
    state = noises[0] * solver.coordinates.level(levels[0])[1]
    estimate = torch.zeros_like(state)
    with noise_from(scheduler, lambda shape: next(fresh)):
        for k, angle in enumerate(levels):
            estimate = _nonlinear(state / lengths[k], angle) if angle > 0 else estimate
            yield state / lengths[k], estimate
            if k + 1 < len(levels):
                output = solver.output(state, estimate, angle)
                state = scheduler.step(output, scheduler.timesteps[k], state).prev_sample.double()
    if levels[-1] > 0:
        yield estimate, estimate


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_a_table_equals_its_scheduler_step_by_step(name: str) -> None:
    """Along every path; the same tables are found with 50 steps along one."""
    solver = SCHEDULERS[name]
    for n in (1, 2, 3, 5, 10, 50):
        scheduler, levels = solver.build(_angles(n))
        noises = torch.randn(
            1 + 2 * n, 1, 3, 2, generator=torch.Generator().manual_seed(n), dtype=torch.float64
        )
        states, estimates = map(
            torch.stack, zip(*_drive(solver, scheduler, levels, noises), strict=True)
        )
        for along in PATHS if n < 50 else ["ve"]:
            path = PATHS[along]
            table = compile_table(name, _times(n, along), path)
            assert len(states) == table.n_evaluations + 1
            rows = torch.cat([table.init[:, None], table.estimate, table.noise], 1)
            seen = torch.cat([noises[:1], estimates[:-1], noises[1 : 1 + table.n_noises]])
            walked = (rows @ seen.flatten(1)).view_as(states)
            lengths = torch.hypot(path.alpha(table.t), path.sigma(table.t))
            walked[:-1] /= lengths.view(-1, 1, 1, 1)
            scale = states.flatten(1).abs().amax(1).clamp(min=1).view(-1, 1, 1, 1)
            if solver.extrapolates:  # ours ends in the last estimate instead
                assert torch.equal(walked[-1], estimates[len(walked) - 2])
                walked[-1] = states[-1]
            assert ((walked - states).abs() < 1e-5 * scale).all(), (n, along)


@pytest.mark.parametrize(
    "name",
    ["ddpm", "ddim", "flow_euler", *[name for name in LISTS if not SCHEDULERS[name].extrapolates]],
)
def test_a_table_equals_the_scheduler_as_diffusers_itself_sets_it_up(name: str) -> None:
    """Not our grid in their scheduler, but their own grid, driven as their pipelines do."""
    for n in (2, 5, 10):
        scheduler = _theirs(name, n)
        angles, end = _own_angles(name, scheduler)
        path = LinearFlow()  # has a time for every noise level
        table = compile_table(name, path.time_at(angles), path)
        # Where theirs stops at its smallest level, ours goes on to the data.
        table = table.truncated(table.n_evaluations - 1) if end > 0 else table
        noises = torch.randn(
            1 + n, 1, 3, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64
        )
        state = _pipeline(name, scheduler, path.angle(table.t), noises)
        state = state * (path.length(end) / SCHEDULERS[name].coordinates.length(end))

        def estimate_at(x: Tensor, t: Tensor, path: Path = path) -> Tensor:
            return _nonlinear(x / path.length(path.angle(t)), path.angle(t))

        walked = walk(table, estimate_at, noises[: 1 + table.n_noises].flatten(1)).view_as(state)
        assert (walked - state).abs().max() < 1e-4, n


def _theirs(name: str, n: int) -> Any:
    import diffusers

    solver = SCHEDULERS[name]
    scheduler = solver.construct(getattr(diffusers, solver.name), dict(solver.settings))
    scheduler.set_timesteps(n)
    scheduler.is_scale_input_called = True
    return scheduler


def _own_angles(name: str, scheduler: Any) -> tuple[Tensor, Tensor]:
    """Return the noise angles of the grid that diffusers chose, and that of its last state."""
    end = torch.zeros((), dtype=torch.float64)
    if name in ("ddpm", "ddim"):
        return (1 / scheduler.alphas_cumprod[scheduler.timesteps] - 1).sqrt().double().atan(), end
    sigmas = scheduler.sigmas.double()
    if name == "flow_euler":
        return torch.atan2(sigmas, 1 - sigmas)[:-1], end
    if sigmas[-1] > 0:
        return sigmas.atan(), sigmas[-1].atan()
    return sigmas[sigmas > 0].unique().flip(0).atan(), end


def _pipeline(name: str, scheduler: Any, levels: Tensor, noises: Tensor) -> Tensor:
    """Return the last state of the loop that every pipeline of diffusers runs."""
    solver, fresh = SCHEDULERS[name], iter(noises[1:])
    state = noises[0] * solver.coordinates.level(levels[0])[1]
    with noise_from(scheduler, lambda shape: next(fresh)):
        for timestep, angle in zip(scheduler.timesteps, levels, strict=True):
            estimate = _nonlinear(state / solver.coordinates.length(angle), angle)
            output = solver.output(state, estimate, angle)
            state = scheduler.step(output, timestep, state).prev_sample.double()
    return state


def test_ddim_with_eta_one_is_ddpm() -> None:
    path = VPCosine()
    t = UniformTime()(7, path)
    noisy, ancestral = compile_table("ddim", t, path, eta=1.0), compile_table("ddpm", t, path)
    torch.testing.assert_close(noisy.init, ancestral.init, atol=1e-7, rtol=0)
    torch.testing.assert_close(noisy.estimate, ancestral.estimate, atol=1e-7, rtol=0)
    torch.testing.assert_close(noisy.noise.abs(), ancestral.noise.abs(), atol=1e-6, rtol=0)


def test_a_constructor_s_setting_and_an_argument_of_step_are_both_options() -> None:
    path = LinearFlow()
    t = UniformTime()(6, path)
    for name, option in (
        ("ddpm", {"variance_type": "fixed_large"}),
        ("dpmpp_2m", {"solver_type": "heun"}),
        ("sa_solver", {"tau": 0.0}),
        ("euler_discrete", {"s_churn": 2.0}),
        ("flow_euler_ancestral", {"eta": 0.5}),
        ("lms", {"order": 2}),
        ("ddim", {"eta": 0.7}),
    ):
        plain, changed = compile_table(name, t, path), compile_table(name, t, path, **option)
        same = changed.noise.shape == plain.noise.shape and torch.allclose(
            torch.cat([changed.estimate, changed.noise], 1),
            torch.cat([plain.estimate, plain.noise], 1),
        )
        assert not same, name
    assert compile_table("sa_solver", t, path, tau=0.0).n_noises == 0


def test_bad_grids_names_and_options_are_refused_in_one_line() -> None:
    path, t = LinearFlow(), torch.tensor([0.9, 0.5])
    with pytest.raises(PolicyError, match="must decrease"):
        compile_table("ddim", t.flip(0), path)
    with pytest.raises(PolicyError, match="did you mean 'dpmpp_2m'"):
        compile_table("dpmp_2m", t, path)
    with pytest.raises(PolicyError, match=r"takes no option \['eta'\] \(it takes: solver_type"):
        compile_table("dpmpp_2m", t, path, eta=1.0)
    with pytest.raises(PolicyError, match=r"takes no option .* \(it takes: order\)"):
        compile_table("exponential", t, path, eta=1.0)
    with pytest.raises(PolicyError, match="order must be 1, 2 or 3"):
        compile_table("exponential", t, path, order=7)

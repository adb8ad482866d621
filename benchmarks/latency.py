"""Latency of one chunk: compiled tables against the same network driven by diffusers' `step`.

For every backbone x sampler, batch 1 and one thread: p50 and p99 of `policy.sample`, of a loop that
calls the same network and the scheduler's own `step`, and of both loops around a network that costs
nothing ("outside the network"). The two loops take turns, so a busy machine troubles both alike;
`set_timesteps`, which a real loop also pays, is left out of the rival's time.

    python benchmarks/latency.py --repeats 200
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from common import machine, pin_threads, summary, write_result
from torch import Tensor

from kinoise.policy.build import build
from kinoise.policy.diffusion_policy import DiffusionPolicy
from kinoise.policy.sampling import Sampler
from kinoise.policy.sampling.grids import Karras, UniformTime
from kinoise.policy.sampling.registry import SCHEDULERS
from kinoise.policy.sampling.table import run_table
from kinoise.scripts.assembly import plain
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose

NETWORKS = tuple(catalogue.groups()["network"])
SOLVERS = ("ddpm", "ddim", "dpmpp_2m", "dpmpp_3m", "unipc", "heun", "flow_euler", "flow_heun")
N_STEPS = 10


def make_policy(network: str) -> DiffusionPolicy:
    """Build the default policy of PickPlace's size around a backbone."""
    torch.manual_seed(0)
    node = plain(compose("train", [f"network={network}", "encoder=state"]).policy)
    shapes = {"state": [14]}
    policy: DiffusionPolicy = build({**node, "obs_shapes": shapes, "action_dim": 5})
    return policy.eval()


def sampler_of(solver: str) -> Sampler:
    """Return the solver with N_STEPS steps on a grid that suits it."""
    return Sampler(solver, N_STEPS, Karras() if solver == "heun" else UniformTime())


def scheduler_loop(
    policy: DiffusionPolicy, solver_name: str, sample_of: Callable[[int, Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return a function that runs one chunk through diffusers' `step`; noise -> chunk."""
    solver, sampler, path = SCHEDULERS[solver_name], sampler_of(solver_name), policy.path
    angles = path.angle(sampler.grid(sampler.n_steps, path))
    levels = solver.build(angles)[1]
    n = len(levels) - 1
    scale = (path.length(levels) / solver.coordinates.length(levels)).tolist()
    start = float(solver.coordinates.level(levels[0])[1])
    rows = list(zip(*(v.float().unbind() for v in solver.coordinates.level(levels)), strict=True))

    def run(noise: Tensor) -> Tensor:
        scheduler = solver.build(angles)[0]
        began = time.perf_counter()
        state = noise * start
        for k in range(n):
            sample = sample_of(k, state * scale[k])
            output = solver.language(state, sample, *rows[k])
            state = scheduler.step(output, scheduler.timesteps[k], state).prev_sample.float()
        if levels[n] > 0:  # the scheduler stops short of the data
            state = sample_of(n, state * scale[n])
        run.seconds = time.perf_counter() - began  # type: ignore[attr-defined]
        return state

    return run


def measure(network: str, solver: str, repeats: int) -> dict[str, Any]:
    """Time one backbone with one solver; all figures in milliseconds."""
    policy = make_policy(network)
    policy.set_sampler(sampler_of(solver))
    obs = {"state": torch.randn(1, policy.n_obs_steps, 14)}
    table = policy.table
    condition = policy.denoiser.condition(policy.encode(obs))
    noises = torch.randn(1 + table.n_noises, 1, policy.horizon, policy.action_dim)
    free = torch.zeros(1, policy.horizon, policy.action_dim)

    estimate = policy.denoiser.rows(table).estimator(condition)
    rival = scheduler_loop(policy, solver, estimate)
    rival_free = scheduler_loop(policy, solver, lambda k, x: free)
    samples: dict[str, list[float]] = {
        "chunk": [],
        "diffusers": [],
        "table_loop": [],
        "step_loop": [],
    }
    for _ in range(repeats + 10):
        samples["chunk"].append(_timed(lambda: policy.sample(obs)))
        rival(noises[0])
        samples["diffusers"].append(rival.seconds)  # type: ignore[attr-defined]
    # Apart, so that neither loop finds the caches as a network left them.
    for _ in range(repeats + 10):
        samples["table_loop"].append(_timed(lambda: run_table(table, lambda k, x: free, noises)))
        rival_free(noises[0])
        samples["step_loop"].append(rival_free.seconds)  # type: ignore[attr-defined]
    figures = {name: summary([1e3 * s for s in times[10:]]) for name, times in samples.items()}
    loop = figures["table_loop"]["median"] / figures["step_loop"]["median"]
    return {"network": network, "solver": solver, "nfe": table.n_evaluations} | {
        **figures,
        "loop_ratio": loop,
        "chunk_ratio": figures["chunk"]["median"] / figures["diffusers"]["median"],
    }


def _timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=SCHEDULERS)
    arguments = parser.parse_args(argv)
    pin_threads(1)
    print(f"{machine()['cpu']}, one thread, {N_STEPS} steps, batch 1, milliseconds")
    print(
        f"{'network':14s}{'solver':12s}{'NFE':>4s}{'p50':>8s}{'p99':>8s}{'rival p50':>11s}"
        f"{'loop p50':>10s}{'step p50':>10s}{'loop/step':>11s}"
    )
    rows = []
    with torch.inference_mode():
        for network in arguments.networks:
            for solver in arguments.solvers:
                row = measure(network, solver, arguments.repeats)
                rows.append(row)
                print(
                    f"{network:14s}{solver:12s}{row['nfe']:4d}{row['chunk']['median']:8.2f}"
                    f"{row['chunk']['p99']:8.2f}{row['diffusers']['median']:11.2f}"
                    f"{row['table_loop']['median']:10.3f}{row['step_loop']['median']:10.3f}"
                    f"{row['loop_ratio']:11.2f}"
                )
    print(f"wrote {write_result('latency', {'rows': rows})}")


if __name__ == "__main__":
    main()

"""Every named family samples a known conditional distribution, with its own settings and others."""

from __future__ import annotations

import pytest
import torch
from oracles import TWO_MODES, Mixture, energy_distance, walk

from kinoise.policy.build import build
from kinoise.policy.sampling.grids import UniformLogSNR
from kinoise.policy.sampling.registry import compile_table
from kinoise.scripts import assembly
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose

#: What the data are under one observation, and under another.
CONDITIONS = (
    TWO_MODES,
    Mixture(
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        torch.tensor([-0.2, 0.9], dtype=torch.float64),
        torch.tensor([0.4, 0.2], dtype=torch.float64),
    ),
)
#: Solvers that need more steps than the others to be as exact.
MANY_STEPS = ("langevin", "flow_euler", "ddim")


@pytest.mark.parametrize("family", catalogue.groups()["family"])
def test_ode_sde_and_corrector_samples_match_a_conditional_mixture(family: str) -> None:
    """Energy distance of 3000 samples under each condition; its null 95 % quantile is 1.8e-3."""
    node = assembly.plain(compose("train", [f"family={family}"]).policy)
    path, own = build(node["path"]), node["sampler"]["solver"]
    for solver in sorted({own, "exponential", "exponential_sde", "predictor_corrector"}):
        n = 200 if solver in MANY_STEPS else 60
        table = compile_table(solver, UniformLogSNR()(n, path), path)
        for seed, mixture in enumerate(CONDITIONS):
            generator = torch.Generator().manual_seed(5 + seed)
            shape = (1 + table.n_noises, 3000)
            noises = torch.randn(shape, generator=generator, dtype=torch.float64)
            with torch.no_grad():
                drawn = walk(table, mixture.denoiser(path), noises)
            distance = energy_distance(drawn, mixture.draw(3000, generator))
            assert distance < 4e-3, (solver, mixture.means.tolist())


@pytest.mark.parametrize("family", catalogue.groups()["family"])
def test_the_recommended_evaluations_are_enough_for_the_exact_denoiser(family: str) -> None:
    """What is left is the solver's error on the grid of the family's YAML, no network's."""
    node = assembly.plain(compose("train", [f"family={family}"]).policy)
    path = build(node["path"])
    # Reflow's few steps are for the straight paths that it learns, which the mixture has not.
    sampler = {**node["sampler"], "n_steps": 8} if family == "reflow" else node["sampler"]
    with torch.no_grad():
        table = build(sampler).table(path)
        for seed, mixture in enumerate(CONDITIONS):
            generator = torch.Generator().manual_seed(5 + seed)
            shape = (1 + table.n_noises, 3000)
            noises = torch.randn(shape, generator=generator, dtype=torch.float64)
            drawn = walk(table, mixture.denoiser(path), noises)
            assert energy_distance(drawn, mixture.draw(3000, generator)) < 2e-2

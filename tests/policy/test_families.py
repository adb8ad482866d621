"""Every named family samples a known conditional distribution by ODE, SDE and corrector."""

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

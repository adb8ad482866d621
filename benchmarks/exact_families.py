"""Every named family's own sampler with the exact denoiser of a known mixture: the method's error.

No network is trained, so what is left is the error of the solver on its grid. Energy distance (in
thousandths) of 3000 samples from a mixture of two modes, mean of two mixtures: one wide, one as
narrow as a policy's chunks are. 1.8 is the 95 % quantile for samples of the mixture itself. Beside
the family's own grid stands what equal steps of time would give.

    python benchmarks/exact_families.py
"""

from __future__ import annotations

import sys
from pathlib import Path as Folder
from typing import Any

import torch
from common import pin_threads, write_result

from kinoise.policy.build import build
from kinoise.policy.paths import Path
from kinoise.scripts import assembly
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose

sys.path.insert(0, str(Folder(__file__).resolve().parents[1] / "tests" / "policy"))
from oracles import TWO_MODES, Mixture, energy_distance, walk

N_SAMPLES = 3000
UNIFORM_TIME = {"_target_": "kinoise.policy.sampling.grids.UniformTime"}
STEPS = (1, 2, 4, 8, 16, 32)
NARROW = Mixture(
    torch.tensor([0.3, 0.7], dtype=torch.float64),
    torch.tensor([-0.6, 0.3], dtype=torch.float64),
    torch.tensor([0.05, 0.1], dtype=torch.float64),
)


def distance(path: Path, sampler: dict[str, Any], n_steps: int) -> tuple[int, float]:
    """Return the evaluations of a sampler with n steps along a path, and its energy distance."""
    table = build({**sampler, "n_steps": n_steps}).table(path)
    distances = []
    for seed, mixture in enumerate((TWO_MODES, NARROW)):
        generator = torch.Generator().manual_seed(seed)
        shape = (1 + table.n_noises, N_SAMPLES)
        noises = torch.randn(shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            drawn = walk(table, mixture.denoiser(path), noises)
        distances.append(energy_distance(drawn, mixture.draw(N_SAMPLES, generator)))
    return table.n_evaluations, 1e3 * sum(distances) / len(distances)


def main() -> None:
    pin_threads(1)
    rows = []
    for family in catalogue.groups()["family"]:
        policy = assembly.plain(compose("train", [f"family={family}"]).policy)
        path, own = build(policy["path"]), policy["sampler"]
        grids = {"own": own, "uniform_time": {**own, "grid": UNIFORM_TIME}}
        for name, sampler in grids.items():
            figures = []
            for n_steps in sorted({*STEPS, own["n_steps"]}):
                evaluations, energy = distance(path, sampler, n_steps)
                row = {"family": family, "grid": name, "evaluations": evaluations}
                recommended = name == "own" and n_steps == own["n_steps"]
                rows.append({**row, "recommended": recommended, "energy_distance_e3": energy})
                figures.append(f"{evaluations}{'*' * recommended}: {energy:.1f}")
            print(f"{family:24s}{name:14s}{'  '.join(figures)}", flush=True)
    print(f"wrote {write_result('exact_families', {'n_samples': N_SAMPLES, 'rows': rows})}")


if __name__ == "__main__":
    main()

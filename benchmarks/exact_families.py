"""Every named family's own sampler with the exact denoiser of a known mixture: the method's error.

No network is trained, so what is left is the error of the solver on its grid. Energy distance (in
thousandths) of 3000 samples from a mixture of two modes, mean of two mixtures: one wide, one as
narrow as a policy's chunks are. 1.8 is the 95 % quantile for samples of the mixture itself.

    python benchmarks/exact_families.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from common import pin_threads, write_result

from kinoise.policy.build import build
from kinoise.scripts import assembly, catalogue
from kinoise.scripts.composing import compose

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "policy"))
from oracles import TWO_MODES, Mixture, energy_distance, walk

N_SAMPLES = 3000
STEPS = (1, 2, 4, 8, 16, 32)
NARROW = Mixture(
    torch.tensor([0.3, 0.7], dtype=torch.float64),
    torch.tensor([-0.6, 0.3], dtype=torch.float64),
    torch.tensor([0.05, 0.1], dtype=torch.float64),
)


def distance(policy: dict[str, Any], n_steps: int) -> tuple[int, float]:
    """Return the evaluations of a family's sampler with n steps, and its energy distance."""
    path = build(policy["path"])
    table = build({**policy["sampler"], "n_steps": n_steps}).table(path)
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
        own = policy["sampler"]["n_steps"]
        for n_steps in sorted({*STEPS, own}):
            evaluations, energy = distance(policy, n_steps)
            row = {"family": family, "n_steps": n_steps, "evaluations": evaluations}
            rows.append({**row, "recommended": n_steps == own, "energy_distance_e3": energy})
        of_family = [row for row in rows if row["family"] == family]
        figures = "  ".join(
            f"{row['evaluations']}{'*' * row['recommended']}: {row['energy_distance_e3']:.1f}"
            for row in of_family
        )
        print(f"{family:24s}{figures}", flush=True)
    print(f"wrote {write_result('exact_families', {'n_samples': N_SAMPLES, 'rows': rows})}")


if __name__ == "__main__":
    main()

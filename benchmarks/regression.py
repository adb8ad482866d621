"""Has a hot path become slower? This checkout against another commit, turn by turn.

Each turn is a fresh process that imports one of the two versions and times whole chunks (batch 1)
and whole optimizer steps (batch 256) on one thread; the versions take turns, so a busy machine
troubles both alike. The ratio is that of the medians over all turns; below 1 this checkout is
faster.

    python benchmarks/regression.py --base f17dddf --turns 8
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import THREAD_VARIABLES, machine, write_result

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("policy", "envs", "datasets", "configs", "scripts")
NETWORKS = ("residual_mlp", "unet1d", "dit")
SAMPLERS = ("flow_euler", "ddim", "dpmpp_2m")

#: Runs in the process of one version, whose root is on PYTHONPATH. It uses only what both have.
PROBE = """
import json, sys, time, tempfile
import torch
from kinoise.policy.build import build
from kinoise.scripts import assembly
try:
    from kinoise.policy.training.trainer import Trainer
    from kinoise.scripts.command.composing import compose
except ImportError:  # version 0.1
    from kinoise.policy.trainer import Trainer
    from kinoise.scripts.composing import compose

torch.set_num_threads(1)
network, repeats, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shapes = {"obs_shapes": {"state": [14]}, "action_dim": 5}
times = {}
for sampler in sys.argv[4:]:
    node = assembly.plain(compose("train", [f"network={network}", f"sampler={sampler}"]).policy)
    torch.manual_seed(0)
    policy = build({**node, **shapes}).eval()
    obs = {"state": torch.randn(1, 2, 14)}
    spent = []
    for _ in range(repeats + 10):
        began = time.perf_counter()
        policy.sample(obs)
        spent.append(time.perf_counter() - began)
    times[f"chunk, {sampler}"] = spent[10:]
batch = {"obs": {"state": torch.randn(256, 2, 14)}, "action": torch.randn(256, 16, 5),
         "mask": torch.ones(256, 16, dtype=torch.bool)}
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(policy.train(), {"policy": {}}, folder, n_steps=10**6, precision="float32")
    spent = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        trainer._train_step(lambda number: batch)
        spent.append(time.perf_counter() - began)
    times["training step"] = spent[2:]
print(json.dumps(times))
"""


def turn(root: Path, network: str, repeats: int, steps: int) -> dict[str, list[float]]:
    """Return the seconds that the version at `root` took, by what was timed."""
    variables = dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, network, str(repeats), str(steps), *SAMPLERS],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    times: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return times


def importable(checkout: Path, folder: Path) -> Path:
    """Make the rooms of a checkout importable as `kinoise` from `folder`, and return it."""
    (folder / "kinoise").mkdir(parents=True)
    for room in ROOMS:
        (folder / "kinoise" / room).symlink_to(checkout / room)
    return folder


def compare(before: Path, after: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Let the two versions take turns and return a row for everything timed."""
    rows = []
    for network in arguments.networks:
        seconds: dict[str, dict[str, list[float]]] = {"before": {}, "after": {}}
        for _ in range(arguments.turns):
            for version, root in (("before", before), ("after", after)):
                for what, spent in turn(root, network, arguments.repeats, arguments.steps).items():
                    seconds[version].setdefault(what, []).extend(spent)
        for what, spent in seconds["after"].items():
            old, new = 1e3 * np.median(seconds["before"][what]), 1e3 * np.median(spent)
            rows.append(
                {"network": network, "what": what, "before_ms": old, "after_ms": new}
                | {"ratio": new / old}
            )
            print(f"{network:14s}{what:20s}{old:10.3f}{new:10.3f} ms   ratio {new / old:.3f}")
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", required=True, help="commit to compare with")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=100, help="chunks in a turn")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps in a turn")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    arguments = parser.parse_args(argv)
    print(f"{machine()['cpu']}, one thread; {arguments.base}, then this checkout, medians")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "base"
        git = ["git", "-C", str(ROOT), "archive", arguments.base]
        archive = subprocess.run(git, check=True, capture_output=True).stdout
        base.mkdir()
        subprocess.run(["tar", "-x", "-C", str(base)], input=archive, check=True)
        rows = compare(
            importable(base, folder / "before"), importable(ROOT, folder / "after"), arguments
        )
    print(f"wrote {write_result('regression', {'base': arguments.base, 'rows': rows})}")


if __name__ == "__main__":
    main()

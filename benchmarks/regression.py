"""Has a hot path become slower? This checkout against another commit, turn by turn.

Both versions stay alive, each in a process of its own, and take turns of a few chunks (batch 1) or
optimizer steps (batch 256) on one thread, so that a busy machine troubles both alike. Each turn
gives the ratio of the two versions' medians in the thread's own time; what is reported is the
median of the ratios with its 95 % interval (order statistics), and the median of each pair of
processes, since where memory happens to lie shifts a process by some percent. Below 1 this checkout
is faster.

    python benchmarks/regression.py --base f17dddf
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import THREAD_VARIABLES, machine, write_result
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("policy", "envs", "datasets", "configs", "scripts")
NETWORKS = ("residual_mlp", "unet1d", "dit")
SAMPLERS = ("flow_euler", "ddim", "dpmpp_2m")

#: Runs in the process of one version, whose root is on PYTHONPATH. It uses only what both have.
#: Each line it reads is what to time and how often; each line it writes holds the milliseconds.
PROBE = """
import json, sys, tempfile, time
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
network = sys.argv[1]

def policy_of(sampler):
    node = assembly.plain(compose("train", [f"network={network}", f"sampler={sampler}"]).policy)
    torch.manual_seed(0)
    return build({**node, "obs_shapes": {"state": [14]}, "action_dim": 5})

obs = {"state": torch.randn(1, 2, 14)}
policies = {f"chunk, {sampler}": policy_of(sampler).eval() for sampler in sys.argv[2:]}
works = {what: lambda policy=policy: policy.sample(obs) for what, policy in policies.items()}

batch = {"obs": {"state": torch.randn(256, 2, 14)}, "action": torch.randn(256, 16, 5),
         "mask": torch.ones(256, 16, dtype=torch.bool)}
folder = tempfile.TemporaryDirectory()
trained = policy_of("flow_euler").train()
trainer = Trainer(trained, {"policy": {}}, folder.name, n_steps=10**6, precision="float32")
works["training step"] = lambda: trainer._train_step(lambda number: batch)

print(json.dumps(list(works)), flush=True)
for line in sys.stdin:
    what, repeats = json.loads(line)
    spent = []
    for _ in range(repeats):
        began = time.thread_time()
        works[what]()
        spent.append(1e3 * (time.thread_time() - began))
    print(json.dumps(spent), flush=True)
"""


class Version:
    """One version in a process of its own, ready to time what it is asked to."""

    def __init__(self, root: Path, network: str) -> None:
        variables = dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROBE, network, *SAMPLERS],
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.works: list[str] = self._answer()

    def time(self, what: str, repeats: int) -> float:
        """Return the median milliseconds of `repeats` of one work."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, repeats]) + "\n")
        self.process.stdin.flush()
        return float(np.median(self._answer()))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


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
        times: dict[str, list[NDArray[np.float64]]] = {}
        for _ in range(arguments.pairs):
            versions = [Version(before, network), Version(after, network)]
            for what in versions[0].works:
                repeats = arguments.steps if what == "training step" else arguments.repeats
                turns = take_turns(versions, what, arguments.turns, repeats)
                times.setdefault(what, []).append(turns)
            for version in versions:
                version.close()
        rows += [row_of(network, what, pairs) for what, pairs in times.items()]
    return rows


def row_of(network: str, what: str, pairs: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Return and print what one work took; `pairs` holds milliseconds [turns, 2] of each pair."""
    every = np.concatenate(pairs)
    old, new = np.median(every, axis=0)
    low, middle, high = median_with_interval(every[:, 1] / every[:, 0])
    by_pair = [round(float(np.median(pair[:, 1] / pair[:, 0])), 3) for pair in pairs]
    print(
        f"{network:14s}{what:20s}{old:10.3f}{new:10.3f} ms"
        f"   ratio {middle:.3f} [{low:.3f}, {high:.3f}]  pairs {by_pair}",
        flush=True,
    )
    return {
        "network": network,
        "what": what,
        "before_ms": old,
        "after_ms": new,
        "ratio": [low, middle, high],
        "ratio_by_pair": by_pair,
    }


def take_turns(versions: list[Version], what: str, turns: int, repeats: int) -> NDArray[np.float64]:
    """Return milliseconds [turns, 2]; who goes first changes from turn to turn."""
    for version in versions:
        version.time(what, repeats)  # warms up caches and allocators

    times = np.zeros((turns, 2))
    for turn in range(turns):
        for index in (0, 1) if turn % 2 else (1, 0):
            times[turn, index] = versions[index].time(what, repeats)
    return times


def median_with_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return (low, median, high): the order statistics that hold the median with 95 %."""
    ordered = np.sort(values)
    n = len(ordered)
    reach = 0.98 * math.sqrt(n)  # the normal limit of the binomial with p = 1/2
    low = ordered[max(0, math.floor(n / 2 - reach))]
    high = ordered[min(n - 1, math.ceil(n / 2 + reach))]
    return float(low), float(np.median(ordered)), float(high)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", required=True, help="commit to compare with")
    parser.add_argument("--pairs", type=int, default=5, help="times both are started anew")
    parser.add_argument("--turns", type=int, default=20, help="of a pair of processes")
    parser.add_argument("--repeats", type=int, default=10, help="chunks in a turn")
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps in a turn")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    arguments = parser.parse_args(argv)
    print(f"{machine()['cpu']}, one thread; {arguments.base}, then this checkout")
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

"""Windows a second: our loader against a torch DataLoader over per-item windows.

Both serve the same windows of the same synthetic data, of the human Push-T set's size, from
memory; that they do is checked first. Each repeat times every loader once, in turn, so that a
busy machine troubles all alike. Worker processes are started, and one pass made, before timing.

    python benchmarks/loader.py --repeats 7
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from common import machine, pin_threads, summary, write_result
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from kinoise.datasets.loader import WindowLoader
from kinoise.datasets.windows import WindowIndex

N_EPISODES, N_STEPS = 206, 25_650
N_OBS_STEPS, HORIZON, N_ACTION_STEPS = 2, 16, 8
SHAPES = {"state": (5,), "keypoint": (9, 2), "action": (2,)}

Epoch = Callable[[], Iterator[Any]]


class ItemWindows(Dataset[dict[str, Any]]):
    """One window an item, cut and padded as in Diffusion Policy's `sample_sequence`."""

    def __init__(self, steps: dict[str, np.ndarray[Any, Any]], windows: WindowIndex) -> None:
        self.steps = steps
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, item: int) -> dict[str, Any]:
        start = int(self.windows.start[item])
        first, last = int(self.windows.first[item]), int(self.windows.last[item])
        return {
            "obs": {
                key: torch.from_numpy(self._cut(values, start, N_OBS_STEPS, first, last))
                for key, values in self.steps.items()
                if key != "action"
            },
            "action": torch.from_numpy(
                self._cut(self.steps["action"], start, HORIZON, first, last)
            ),
        }

    @staticmethod
    def _cut(
        values: np.ndarray[Any, Any], start: int, length: int, first: int, last: int
    ) -> np.ndarray[Any, Any]:
        inside = values[max(start, first) : min(start + length, last + 1)]
        if len(inside) == length:
            return inside
        cut = np.empty((length, *values.shape[1:]), dtype=values.dtype)
        before = max(first - start, 0)
        cut[before : before + len(inside)] = inside
        cut[:before] = inside[0]
        cut[before + len(inside) :] = inside[-1]
        return cut


def synthetic_steps() -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return steps of the Push-T set's shapes, and its number of episodes' ends."""
    generator = np.random.default_rng(0)
    cuts = generator.choice(N_STEPS // 50 - 1, N_EPISODES - 1, replace=False) + 1
    ends = np.append(np.sort(cuts) * 50, N_STEPS)
    steps = {
        key: generator.normal(size=(N_STEPS, *shape)).astype(np.float32)
        for key, shape in SHAPES.items()
    }
    return steps, ends


def contenders(batch_size: int, workers: Sequence[int]) -> dict[str, Epoch]:
    """Return, for each loader, a function that makes one pass over its batches."""
    steps, ends = synthetic_steps()
    windows = WindowIndex.build(
        ends, n_obs_steps=N_OBS_STEPS, horizon=HORIZON, n_action_steps=N_ACTION_STEPS
    )
    tensors = {key: torch.from_numpy(values) for key, values in steps.items()}
    ours = WindowLoader(tensors, windows, batch_size=batch_size)
    items = ItemWindows(steps, windows)
    check_equal(ours, items)

    passes = itertools.count()

    def our_epoch() -> Iterator[Any]:
        first = next(passes) * ours.batches_per_epoch
        return map(ours.batch, range(first, first + ours.batches_per_epoch))

    found: dict[str, Epoch] = {"ours": our_epoch}
    for count in workers:
        loader = DataLoader(
            items,
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=count,
            persistent_workers=count > 0,
        )
        found[f"DataLoader, {count} workers"] = loader.__iter__
    return found


def check_equal(ours: WindowLoader, items: ItemWindows) -> None:
    """Fail unless both cut the same windows out of the same data."""
    chosen = np.arange(0, len(items), 97)
    batch = ours.gather(chosen)
    for row, item in enumerate(chosen):
        expected = items[int(item)]
        assert torch.equal(batch["action"][row], expected["action"])
        for key, values in expected["obs"].items():
            assert torch.equal(batch["obs"][key][row], values)


def measure(epochs: dict[str, Epoch], repeats: int) -> dict[str, dict[str, Any]]:
    """Time passes in turn; return windows a second and seconds between batches for each."""
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    gaps: dict[str, list[float]] = {name: [] for name in epochs}
    for repeat in range(repeats + 1):
        for name, epoch in epochs.items():
            served, times = one_pass(epoch)
            if repeat:  # the first pass warms up
                rates[name].append(served / (times[-1] - times[0]))
                gaps[name].extend(np.diff(times))
    return {
        name: {
            "windows_per_s": summary(rates[name]),
            "batch_us": summary(np.asarray(gaps[name]) * 1e6),
        }
        for name in epochs
    }


def one_pass(epoch: Epoch) -> tuple[int, list[float]]:
    """Return how many windows a pass served, and the time before it and after every batch."""
    times = [time.perf_counter()]
    served = 0
    for batch in epoch():
        served += len(batch["action"])
        times.append(time.perf_counter())
    return served, times


def print_table(results: dict[str, dict[str, Any]]) -> None:
    table = Table(title=f"Loader, {machine()['cpu']}, one torch thread, medians")
    for column in ("loader", "windows/s", "p10", "us a batch", "p99", "ours is"):
        table.add_column(column, justify="left" if column == "loader" else "right")
    ours = next(iter(results.values()))["windows_per_s"]["median"]
    for name, result in results.items():
        rate, gap = result["windows_per_s"], result["batch_us"]
        table.add_row(
            name,
            f"{rate['median']:,.0f}",
            f"{rate['p10']:,.0f}",
            f"{gap['median']:,.0f}",
            f"{gap['p99']:,.0f}",
            f"{ours / rate['median']:.1f} x",
        )
    Console().print(table)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7, help="timed passes over the data")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args(argv)
    pin_threads(1)
    results = measure(contenders(options.batch_size, options.workers), options.repeats)
    print_table(results)
    if not options.no_write:
        settings = {
            "batch_size": options.batch_size,
            "repeats": options.repeats,
            "n_steps": N_STEPS,
            "n_obs_steps": N_OBS_STEPS,
            "horizon": HORIZON,
            "keys": {key: list(shape) for key, shape in SHAPES.items()},
            "torch_threads": 1,
        }
        path = write_result("loader", {"settings": settings, "results": results})
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

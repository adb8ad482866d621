"""What every benchmark shares: name the machine, pin threads, summarise samples, keep results."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("kinoise", "torch", "numpy", "zarr", "diffusers", "mujoco")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores, memory, system, versions, load."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": _versions(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def summary(samples: Sequence[float] | np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the median and the tails of repeated measurements, in their own unit."""
    values = np.asarray(samples, dtype=np.float64)
    p10, median, p90, p99 = np.quantile(values, [0.1, 0.5, 0.9, 0.99])
    return {
        "median": float(median),
        "p10": float(p10),
        "p90": float(p90),
        "p99": float(p99),
        "n": len(values),
    }


def pin_threads(n: int) -> None:
    """Hold torch and the BLAS libraries of this process, and of its children, to `n` threads."""
    import torch

    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(n)
    torch.set_num_threads(n)


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write `results/<name>.json`: the result with its date, command and machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", _from_root(sys.argv[0]), *sys.argv[1:]]),
        "machine": machine(),
        **result,
    }
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(path)
    return path


def _from_root(program: str) -> str:
    """Return a program's path as seen from the repository, so that results name no home."""
    root = RESULTS.parents[1]
    path = Path(program).resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions

"""A copy of the repository in which faults are made, tested and taken back.

The checkout itself is never touched. Every row is tested in a fork of a process that has imported
the heavy libraries but nothing of ours, which spares four seconds a row.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("policy", "envs", "datasets", "configs", "scripts")
BESIDE = ("tests", "benchmarks", "pyproject.toml")

#: Imported once, before any fork. mujoco is left out: `kinoise.envs` chooses its back end first.
HEAVY = (
    "diffusers.schedulers.scheduling_ddim",
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
    "diffusers.schedulers.scheduling_flow_match_euler_discrete",
    "diffusers.training_utils",
    "gymnasium",
    "hypothesis",
    "jaxtyping",
    "beartype",
    "numcodecs",
    "pytest",
    "safetensors.torch",
    "scipy.optimize",
    "scipy.stats",
    "torch.testing",
    "yaml",
    "zarr",
)


#: Memory of one run of the tests.
MEMORY_BYTES = 6 << 30


@dataclass(frozen=True)
class Outcome:
    """How a run of the tests ended.

    Attributes:
        status: "passed", "failed", "timeout", or "broken" if the tests could not be collected.
        by: the first test that failed, or the last lines of output where none ran.
        seconds: duration of the run.
    """

    status: str
    by: str
    seconds: float


class Workshop:
    """The copy, and what can be done in it.

    Args:
        folder: an empty folder for the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kinoise").mkdir()
        for name in (*ROOMS, *BESIDE):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name)
            else:
                shutil.copy2(source, folder / name)
        for room in ROOMS:
            (folder / "kinoise" / room).symlink_to(folder / room)

    @contextmanager
    def mutated(self, file: str, old: str, new: str) -> Iterator[None]:
        """Hold the change of one file while the block runs.

        Raises:
            ValueError: `old` does not stand exactly once in the file.
        """
        path = self.folder / file
        text = path.read_text()
        stat = path.stat()
        if text.count(old) != 1:
            raise ValueError(f"{file}: the old text stands there {text.count(old)} times: {old!r}")
        try:
            path.write_text(text.replace(old, new))
            # Another time than before: compiled files are known by it.
            os.utime(path, (stat.st_atime, stat.st_mtime + 10))
            yield
        finally:
            path.write_text(text)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def test(self, arguments: Sequence[str], limit: float) -> Outcome:
        """Run pytest on `arguments` in a fork; "-x" and "-q" are given."""
        report = self.folder / "report.txt"
        report.write_text("")
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _in_child(self.folder, report, arguments)

        try:
            code = _wait(child, start + limit)
        except BaseException:
            _end(child)
            raise
        seconds = time.monotonic() - start
        if code is None:
            return Outcome("timeout", f"no end after {limit:.0f} s", seconds)
        failed = report.read_text().splitlines()
        if code == 0:
            return Outcome("passed", "", seconds)
        if code == 1 and failed:
            return Outcome("failed", failed[0], seconds)
        lines = (self.folder / "output.txt").read_text().splitlines()
        return Outcome("broken", "\n".join(lines[-12:]), seconds)


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Open a workshop in a temporary folder, with the heavy libraries imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    for module in HEAVY:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Workshop(Path(folder).resolve())


class _Failures:
    """A plugin of pytest that writes the name of every test that fails."""

    def __init__(self, report: Path) -> None:
        self.report = report

    def pytest_runtest_logreport(self, report: object) -> None:
        if getattr(report, "failed", False):
            with self.report.open("a") as file:
                file.write(f"{getattr(report, 'nodeid', '')}\n")


def _in_child(folder: Path, report: Path, arguments: Sequence[str]) -> None:
    """Become a run of pytest; never returns."""
    code = 3
    try:
        os.setsid()
        _limit_memory()
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)  # for the processes that tests start
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hydra's alone takes a second
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        pytest = importlib.import_module("pytest")
        options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
        code = int(pytest.main([*options, *arguments], plugins=[_Failures(report)]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _limit_memory() -> None:
    """Let a fault that allocates without bounds end its own process, not the machine."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def _wait(child: int, deadline: float) -> int | None:
    """Return the exit code of a process, or None after killing it and its children."""
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    _end(child)
    return None


def _end(child: int) -> None:
    """Kill a run of pytest and the processes that its tests started."""
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)

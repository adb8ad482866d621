"""Plant faults into small trainings and see whether `kinoise diagnose` names them.

    python benchmarks/faults/run.py [--seeds N] [--only NAME ...] [--fresh]

A fault counts as named if one of its causes is first or second; the healthy run if nothing is
found. Results go to `benchmarks/results/faults.json` after every case, and a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# The folder of this file must not be on the path: only the one above holds `common` and `faults`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import RESULTS, pin_threads, write_result  # noqa: E402

from faults.planting import FAULTS, Fault, diagnose, plant  # noqa: E402


def main() -> None:
    """Run the cases that are not known yet and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="trainings of each fault")
    parser.add_argument("--only", nargs="*", default=None, help="names of faults")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    pin_threads(1)
    cases = {} if arguments.fresh else known()
    for seed in range(arguments.seeds):
        wanted = [each for each in FAULTS if f"{each.name}/{seed}" not in cases]
        if arguments.only:
            wanted = [each for each in wanted if each.name in arguments.only]
        with tempfile.TemporaryDirectory() as folder:
            for fault in wanted:
                case = examine(fault, seed, Path(folder))
                cases[f"{fault.name}/{seed}"] = case
                said = ", ".join(
                    f"{name} {strength:.2f}" for name, strength in case["findings"][:4]
                )
                verdict = "named" if case["named"] else "MISSED"
                print(f"{fault.name:22} {seed:2d}  {verdict:6}  {said}", flush=True)
                write_result("faults", {"cases": cases, "table": table(cases)})
    for row in table(cases):
        print(f"{row['fault']:24} {row['named']:3d} of {row['n']}")


def known() -> dict[str, Any]:
    """Return the cases of an earlier run."""
    path = RESULTS / "faults.json"
    return json.loads(path.read_text())["cases"] if path.exists() else {}


def examine(fault: Fault, seed: int, folder: Path) -> dict[str, Any]:
    """Plant a fault, diagnose it, and return what was found."""
    began = time.monotonic()
    run = plant(fault, folder, seed)
    trained = time.monotonic()
    diagnosis = diagnose(fault, run)
    found = [(finding.name, round(finding.strength, 3)) for finding in diagnosis.findings]
    first = [name for name, _ in found[:2]]
    named = any(name in fault.names for name in first) or (not fault.names and not found)
    return {
        "named": named,
        "findings": found,
        "success": diagnosis.success,
        "seconds_of_training": round(trained - began, 1),
        "seconds_of_diagnosis": round(time.monotonic() - trained, 1),
    }


def table(cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each fault how many of its cases were named."""
    rows = []
    for fault in FAULTS:
        those = [case for name, case in cases.items() if name.split("/")[0] == fault.name]
        if those:
            named = sum(case["named"] for case in those)
            rows.append({"fault": fault.name, "named": named, "n": len(those)})
    return rows


if __name__ == "__main__":
    main()
